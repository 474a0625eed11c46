"""Builds the disks that a power cut may leave, from a trace of disk.c.

The model, which is harsher than any file system that honours fsync:

- A write or a change of size is safe once a sync of that file that began after it has ended well.
- Everything else may be there or not, write by write; one that is there may be torn at sectors of
  512 or pages of 4,096 bytes, any of which may be missing; a file may have its new size and zeros
  in place of what was written. (Of two writes to one place the disk never has the older after the
  newer: the page cache keeps one page of a place. Any subset in order is thus all that reordering
  can do.)
- A name that was made, renamed or removed is safe once its directory is synced. The others are all
  there, all lost, or there up to some point: one for all directories, as a journal does it, or one
  for each.
"""

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path

HEAD = struct.Struct("<IIQQQIIII")
MAGIC = 0x314B5344
CREATE, WRITE, TRUNCATE, RENAME, UNLINK, MKDIR, RMDIR, SYNC, SYNCED, ANSWER, LINK = range(1, 12)
CHANGES_OF_NAMES = (CREATE, RENAME, UNLINK, MKDIR, RMDIR, LINK)
# How unsynced writes fare, and how unsynced names do.
WRITES = ("lost", "kept", "some", "torn", "last torn", "zeros")
NAMES = ("lost", "kept", "up to a point", "each up to a point")


@dataclass(frozen=True)
class Record:
    """One line of the trace, its place counted from 0."""

    at: int
    what: int
    inode: int
    a: int
    b: int
    path: str = ""
    path2: str = ""
    data: bytes = b""


def read_trace(path: Path) -> list[Record]:
    """The whole trace; one that was cut off in its last record ends before that."""
    text, at, records = path.read_bytes(), 0, []
    while at + HEAD.size <= len(text):
        magic, what, inode, a, b, one, two, size, _ = HEAD.unpack_from(text, at)
        assert magic == MAGIC, f"the trace is damaged at byte {at}"
        at += HEAD.size
        end = at + one + two + size
        if end > len(text):
            break
        first, second = text[at : at + one].decode(), text[at + one : at + one + two].decode()
        records.append(Record(len(records), what, inode, a, b, first, second, text[end - size : end]))
        at = end
    return records


@dataclass
class File:
    """A file: what is safe of it, and the changes since."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list = field(default_factory=list)
    mode: int = 0o600


class Disk:
    """A disk that follows a trace from a copy of its directory on."""

    def __init__(self, root: Path, copy: Path, syncs_count: bool = True):
        """`root` is the traced directory as it was named; `copy` how it was at the beginning, all
        of it safe. Must be made before the trace begins, for the inode numbers of `root`. Without
        `syncs_count` no sync makes anything safe: a disk that lies."""
        self.root, self.syncs_count = str(root.resolve()), syncs_count
        self.files: dict[int, File] = {}
        self.folders: dict[int, str] = {root.stat().st_ino: self.root}
        # A number may be given again while the old file's removal is not safe: names are of files.
        self.names: dict[str, File | None] = {}  # safe names; None for a directory
        self.pending: list[tuple[Record, set[str], File | None]] = []  # changes of names, and their directories
        self.begun: dict[int, tuple[int, File | str | None]] = {}
        for found in sorted(root.rglob("*")):
            about = found.lstat()
            if found.is_dir():
                self.folders[about.st_ino], self.names[self.absolute(root, found)] = self.absolute(root, found), None
            elif found.is_file():
                data = bytearray((copy / found.relative_to(root)).read_bytes())
                self.files[about.st_ino] = self.names[self.absolute(root, found)] = File(data, mode=about.st_mode & 0o777)

    def absolute(self, root: Path, found: Path) -> str:
        """The path as the trace has it."""
        return f"{self.root}/{found.relative_to(root)}"

    def follow(self, record: Record) -> None:
        """Let one record happen."""
        if record.what in (WRITE, TRUNCATE):
            if record.inode in self.files:  # of others the trace does not know the name: sockets, locks
                self.files[record.inode].pending.append(record)
        elif record.what in CHANGES_OF_NAMES:
            made = None
            if record.what == CREATE:
                made = self.files[record.inode] = File(mode=record.a & 0o777)
            elif record.what == MKDIR:
                self.folders[record.inode] = record.path
            folders = {os.path.dirname(path) for path in (record.path, record.path2) if path}
            if record.what == RENAME:
                self.folders = {
                    inode: record.path2 + path[len(record.path) :] if (path + "/").startswith(record.path + "/") else path
                    for inode, path in self.folders.items()
                }
            elif record.what == LINK:
                # Of a file just made, whose first name may be lost while this one is not.
                made = self.linked(record.path)
            self.pending.append((record, folders, made))
        elif record.what == SYNC:
            # Numbers of syncs begin anew with each process; one runs at a time.
            self.begun[record.a] = record.at, self.folders.get(record.inode, self.files.get(record.inode))
        elif record.what == SYNCED and record.b and self.syncs_count:
            self.synced(*self.begun.pop(record.a))

    def linked(self, path: str):
        """The file that has this name now."""
        names = dict(self.names)
        for record, _, made in self.pending:
            change_names(names, record, made)
        return names[path]

    def synced(self, began: int, what) -> None:
        """A sync that began at that record has ended well."""
        if isinstance(what, str):
            kept = []
            for record, folders, made in self.pending:
                if record.at < began and what in folders:
                    change_names(self.names, record, made)
                else:
                    kept.append((record, folders, made))
            self.pending = kept
        elif what is not None:
            for record in what.pending:
                if record.at < began:
                    happen(what.safe, record)
            what.pending = [record for record in what.pending if record.at >= began]

    def unsynced(self) -> int:
        """Changes that are not safe now, of the largest file: the database."""
        return len(max(self.files.values(), key=lambda file: len(file.safe)).pending)

    def cut(self, to: Path, chance) -> str:
        """Build a disk as a power cut at this moment may leave it; says what was chosen."""
        names, fate = self.cut_names(chance)
        writes = chance.choice(WRITES)
        sector = chance.choice((512, 4096))
        to.mkdir(mode=0o700)
        for path in sorted(names):
            target = to / os.path.relpath(path, self.root)
            if not target.parent.is_dir():
                continue  # the directory itself was lost
            if names[path] is None:
                target.mkdir(mode=0o700)
                continue
            file = names[path]
            target.write_bytes(cut_file(file, writes, sector, chance))
            target.chmod(file.mode)
        return f"writes {writes}, names {fate}, sectors of {sector}"

    def cut_names(self, chance):
        """The names that are there, and how that was chosen."""
        names, fate = dict(self.names), chance.choice(NAMES)
        until = {"lost": -1, "kept": float("inf")}.get(fate)
        if until is None and self.pending:
            until = chance.choice(self.pending)[0].at
        each = {}
        for record, folders, made in self.pending:
            if fate == "each up to a point":
                for folder in folders:
                    each.setdefault(folder, chance.choice(self.pending)[0].at)
                until = min(each[folder] for folder in folders)
            if record.at <= until:
                change_names(names, record, made)
        return names, fate


def change_names(names: dict, record: Record, made: File | None) -> None:
    """Let a change of names happen; one of what is not there does nothing."""
    if record.what == CREATE:
        names[record.path] = made
    elif record.what == LINK:
        names[record.path2] = made
    elif record.what == MKDIR:
        names[record.path] = None
    elif record.what in (UNLINK, RMDIR):
        names.pop(record.path, None)
    elif record.path in names:
        for path in [path for path in names if (path + "/").startswith(record.path + "/")]:
            names[record.path2 + path[len(record.path) :]] = names.pop(path)


def happen(data: bytearray, record: Record) -> None:
    """Let a write or a change of size happen as a whole."""
    if record.what == TRUNCATE:
        resize(data, record.a)
    else:
        put(data, record.a, record.data)


def resize(data: bytearray, size: int) -> None:
    """Cut off, or add zeros."""
    del data[size:]
    data.extend(bytes(size - len(data)))


def put(data: bytearray, offset: int, piece: bytes) -> None:
    """Write a piece; a hole before it is zeros."""
    if offset > len(data):
        resize(data, offset)
    data[offset : offset + len(piece)] = piece


def cut_file(file: File, fate: str, sector: int, chance) -> bytearray:
    """What a file has after the cut."""
    data = bytearray(file.safe)
    for record in file.pending:
        last = record is file.pending[-1]
        if fate == "kept" or (fate == "last torn" and not last) or (fate == "some" and chance.random() < 0.5):
            happen(data, record)
        elif fate in ("torn", "last torn"):
            if record.what == WRITE:
                tear(data, record, sector, chance)
            elif chance.random() < 0.5:
                happen(data, record)
        elif fate == "zeros":
            if record.what == TRUNCATE or chance.random() < 0.5:
                happen(data, record)
            else:
                resize(data, max(len(data), record.a + len(record.data)))
    return data


def tear(data: bytearray, record: Record, sector: int, chance) -> None:
    """Let some sectors of a write happen: a beginning, an end, or any."""
    start, end = record.a, record.a + len(record.data)
    edges = [start, *range((start // sector + 1) * sector, end, sector), end]
    pieces = list(zip(edges, edges[1:]))
    way, point = chance.randrange(3), chance.randrange(len(pieces) + 1)
    for at, (left, right) in enumerate(pieces):
        if (at < point, at >= point, chance.random() < 0.5)[way]:
            put(data, left, record.data[left - start : right - start])
