//! Between two processes: each message is the length of its head and of its bodies (four bytes
//! each, the highest first), its head as JSON, its bodies. Both lengths are bounded before
//! anything is read.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Answer, Answers, Ask, Desk, PortError};
use crate::limits;

/// Writes one message.
///
/// # Errors
/// The other side is gone; a head or bodies beyond their limits.
pub fn send(to: &mut impl Write, head: &impl Serialize, bodies: &[u8]) -> io::Result<()> {
    let head = serde_json::to_vec(head)?;
    if head.len() > limits::PORT_HEAD_BYTES || bodies.len() > limits::PORT_BODY_BYTES {
        return Err(io::Error::other("a message is too long"));
    }
    for length in [head.len(), bodies.len()] {
        let length = u32::try_from(length).expect("within the limits");
        to.write_all(&length.to_be_bytes())?;
    }
    to.write_all(&head)?;
    to.write_all(bodies)?;
    to.flush()
}

/// Reads one message; none when the other side has ended.
///
/// # Errors
/// It broke off, is no message, or is too long.
pub fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<(T, Vec<u8>)>> {
    let mut lengths = [0; 8];
    match from.read_exact(&mut lengths) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = |at: usize, most: usize| {
        let bytes = lengths[at..at + 4].try_into().expect("four bytes");
        let length = usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX);
        match length <= most {
            true => Ok(length),
            false => Err(io::Error::other("a message is too long")),
        }
    };
    let head = exactly(from, length(0, limits::PORT_HEAD_BYTES)?)?;
    let bodies = exactly(from, length(4, limits::PORT_BODY_BYTES)?)?;
    Ok(Some((serde_json::from_slice(&head)?, bodies)))
}

/// Grows with what comes, so that a length alone takes no memory.
fn exactly(from: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(length as u64).read_to_end(&mut bytes)?;
    match bytes.len() == length {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Answers until the other side ends.
///
/// # Errors
/// The connection.
pub fn serve(stream: &mut (impl Read + Write), mut desk: Desk) -> io::Result<()> {
    while let Some((ask, bodies)) = receive::<Ask>(stream)? {
        let (answer, bodies) = match desk.ask(&ask, &bodies) {
            Ok(done) => done,
            Err(PortError::Refused(sentence) | PortError::Lost(sentence)) => {
                (Answer::Failed { sentence }, Vec::new())
            }
        };
        send(stream, &answer, &bodies)?;
    }
    Ok(())
}

/// A desk behind a stream.
pub struct Remote<S>(pub S);

impl<S: Read + Write> Answers for Remote<S> {
    fn ask(&mut self, ask: &Ask, bodies: &[u8]) -> Result<(Answer, Vec<u8>), PortError> {
        let answered = send(&mut self.0, ask, bodies).and_then(|()| receive(&mut self.0));
        match answered {
            Ok(Some((Answer::Failed { sentence }, _))) => Err(PortError::Refused(sentence)),
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(PortError::Lost("the server stopped meanwhile".to_owned())),
            Err(error) => Err(PortError::Lost(format!(
                "the server did not answer: {error}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_through_and_lengths_are_bounded() {
        let mut line = Vec::new();
        send(&mut line, &Ask::Next, b"body").expect("it is written");
        let (head, bodies) = receive::<Ask>(&mut &line[..])
            .expect("it reads")
            .expect("there is one");
        assert!(matches!(head, Ask::Next));
        assert_eq!(bodies, b"body");
        assert!(receive::<Ask>(&mut &[][..]).expect("it reads").is_none());
        let cut = &line[..line.len() - 1];
        assert!(receive::<Ask>(&mut &cut[..]).is_err());
        assert!(receive::<Ask>(&mut &[0xff; 20][..]).is_err());
    }
}
