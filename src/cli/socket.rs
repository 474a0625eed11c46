//! The local socket: DATA/admin.sock, for the server's own user only, one JSON request a line,
//! one JSON answer a line.
//!
//! A socket's path may have 107 bytes; a data directory's may have more. So the directory is
//! opened, and the socket reached through /proc/self/fd, which is short.

use std::fs::Permissions;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use super::Failure;
use super::admin::{AdminRequest, AdminResponse, Office, desk, execute_told};
use crate::limits;
use crate::port::wire;
use crate::seal::wiped;
use crate::vault::{Stopped, VerifyEvent};

const NAME: &str = "admin.sock";

/// The socket's short path, which holds as long as the directory stays open.
fn short_path(dir: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(dir, flags, Mode::empty())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", dir.as_raw_fd()));
    Ok((dir, path))
}

/// Connects to the server that runs on this data directory; none if there is no server.
fn connect(data: &Path) -> Result<Option<UnixStream>, Failure> {
    let connected = short_path(data).and_then(|(_dir, path)| UnixStream::connect(path));
    match connected {
        Ok(stream) => Ok(Some(stream)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Failure(format!(
            "{} belongs to another user; run this command as the user that runs the server",
            data.display()
        ))),
        Err(error) => Err(Failure(format!(
            "the server's socket {} cannot be reached: {error}",
            data.join(NAME).display()
        ))),
    }
}

/// Whether a server runs on this data directory.
pub(super) fn answers(data: &Path) -> Result<bool, Failure> {
    connect(data).map(|stream| stream.is_some())
}

/// Asks the server that runs on this data directory; none if there is no server.
pub(super) fn ask(data: &Path, request: &AdminRequest) -> Result<Option<AdminResponse>, Failure> {
    ask_told(data, request, &mut |_| Ok(()))
}

/// The same; what a check tells before its answer is given to `tell`.
pub(super) fn ask_told(
    data: &Path,
    request: &AdminRequest,
    tell: &mut dyn FnMut(VerifyEvent) -> Result<(), Stopped>,
) -> Result<Option<AdminResponse>, Failure> {
    let Some(mut stream) = connect(data)? else {
        return Ok(None);
    };
    let lost = |error: &dyn std::fmt::Display| {
        Failure(format!(
            "the server did not answer ({error}); look at its log to see whether it was done"
        ))
    };
    let patience = Some(Duration::from_secs(limits::ADMIN_SECONDS));
    stream
        .set_read_timeout(patience)
        .and_then(|()| stream.set_write_timeout(patience))
        .and_then(|()| stream.write_all(&line(request)))
        .map_err(|error| lost(&error))?;
    let mut lines = BufReader::new(&stream);
    let mut working = Working::default();
    loop {
        let mut answer = Zeroizing::new(String::new());
        lines.read_line(&mut answer).map_err(|error| lost(&error))?;
        match serde_json::from_str(&answer).map_err(|error| lost(&error))? {
            AdminResponse::Verifying { event } => {
                tell(event).map_err(|_| Failure("the findings could not be printed".into()))?;
            }
            AdminResponse::Working { done } => working.tell(done),
            answer => return Ok(Some(answer)),
        }
    }
}

/// A line on the terminal as long as the server is at work.
#[derive(Default)]
struct Working(bool);

impl Working {
    fn tell(&mut self, done: u64) {
        if io::stderr().is_terminal() {
            self.0 = true;
            // A terminal that is gone stops nothing.
            let _ = write!(io::stderr(), "\r{done} done; the server is at work \x1b[K");
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if self.0 {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(value: &impl serde::Serialize) -> Zeroizing<Vec<u8>> {
    let mut line =
        Zeroizing::new(serde_json::to_vec(value).expect("plain values have a JSON form"));
    line.push(b'\n');
    line
}

/// The socket of a running server; removed when dropped.
pub(super) struct Socket {
    file: PathBuf,
}

impl Socket {
    /// Listens in `data` and answers on threads of its own. Call it only while holding the store:
    /// a socket that is there already then belongs to a server that died.
    pub fn open(data: &Path, office: Arc<Office>) -> io::Result<Socket> {
        let file = data.join(NAME);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (dir, path) = short_path(data)?;
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        drop(dir);
        std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || accept(&listener, &office))?;
        Ok(Socket { file })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What stays behind is removed by the next start.
        let _ = std::fs::remove_file(&self.file);
    }
}

fn accept(listener: &UnixListener, office: &Arc<Office>) {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a local connection could not be accepted");
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        if open.load(Ordering::Relaxed) >= limits::ADMIN_CONNECTIONS {
            let sentence = "the server is busy with other commands; try again".to_owned();
            let _ = (&stream).write_all(&line(&AdminResponse::Refused { sentence }));
            continue;
        }
        open.fetch_add(1, Ordering::Relaxed);
        let (office, open_here) = (Arc::clone(office), Arc::clone(&open));
        let spawned = std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                if let Err(error) = converse(&stream, &office) {
                    tracing::debug!(%error, "a local connection ended early");
                }
                open_here.fetch_sub(1, Ordering::Relaxed);
            });
        if spawned.is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn converse(stream: &UnixStream, office: &Office) -> io::Result<()> {
    let patience = Some(Duration::from_secs(limits::ADMIN_SECONDS));
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(patience)?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut asked = Zeroizing::new(Vec::new());
        (&mut lines)
            .take(limits::ADMIN_LINE_BYTES as u64)
            .read_until(b'\n', &mut asked)?;
        if asked.is_empty() {
            return Ok(());
        }
        let request = serde_json::from_slice::<AdminRequest>(&asked);
        if let Ok(AdminRequest::Port {
            name,
            opener,
            purpose,
        }) = request
        {
            match desk(office, &name, opener, purpose) {
                Ok(desk) => {
                    (&*stream).write_all(&line(&AdminResponse::Done))?;
                    return wire::serve(&mut Both(lines, stream), desk);
                }
                Err(sentence) => {
                    (&*stream).write_all(&line(&AdminResponse::Refused { sentence }))?;
                    continue;
                }
            }
        }
        let answer = wiped(|| match request {
            Ok(request) => {
                // A panic in one command must not leave its slot taken for ever.
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let mut tell = |told| (&*stream).write_all(&line(&told)).map_err(|_| Stopped);
                    execute_told(office, request, &mut tell)
                }));
                done.unwrap_or_else(|_| {
                    refused("the server failed at this command; its log says where")
                })
            }
            Err(_) => {
                refused("the server does not know this command; are both of the same version?")
            }
        });
        wiped(|| (&*stream).write_all(&line(&answer)))?;
    }
}

/// A connection whose first lines were read with a buffer.
struct Both<'a>(BufReader<&'a UnixStream>, &'a UnixStream);

impl Read for Both<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Both<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}

/// Asks the server to open an account for an export or an import; the connection is then
/// `port::wire`'s.
pub(super) fn open_port(data: &Path, request: &AdminRequest) -> Result<UnixStream, Failure> {
    let gone = || Failure("the server stopped meanwhile".to_owned());
    let mut stream = connect(data)?.ok_or_else(gone)?;
    let patience = Some(Duration::from_secs(limits::ADMIN_SECONDS));
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(patience)?;
    stream.write_all(&line(request))?;
    // the server sends nothing behind the line before it is asked, so the buffer holds no more
    let mut answer = Vec::new();
    BufReader::new(&stream)
        .take(limits::ADMIN_LINE_BYTES as u64)
        .read_until(b'\n', &mut answer)?;
    match serde_json::from_slice(&answer)? {
        AdminResponse::Done => Ok(stream),
        AdminResponse::Refused { sentence } => Err(Failure(sentence)),
        _ => Err(gone()),
    }
}

fn refused(sentence: &str) -> AdminResponse {
    AdminResponse::Refused {
        sentence: sentence.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_waited_for_as_long_as_the_server_is_at_work() {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(NAME)).unwrap();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut asked = String::new();
            BufReader::new(&stream).read_line(&mut asked).unwrap();
            for done in [1, 2] {
                (&stream)
                    .write_all(&line(&AdminResponse::Working { done }))
                    .unwrap();
            }
            (&stream).write_all(&line(&AdminResponse::Done)).unwrap();
            asked
        });
        let answer = ask(directory.path(), &AdminRequest::Health).unwrap();
        assert!(matches!(answer, Some(AdminResponse::Done)));
        assert!(server.join().unwrap().contains("health"));
    }
}
