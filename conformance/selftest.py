#!/usr/bin/env python3
"""Tests of the harness itself: a harness that overlooks a failure is worse than none.

python3 conformance/selftest.py
"""

import hashlib
import random
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "faults"))
sys.dont_write_bytecode = True

import disk  # noqa: E402
import events  # noqa: E402
from harness.results import FAILED, PASSED, SKIPPED, SuiteResults, judge, read_expected  # noqa: E402
from suites import litmus  # noqa: E402

LITMUS = (
    "-> running `basic':\n"
    "\r 0. init.................. \r 0. init.................. pass\n"
    "\r 9. delete_fragment....... WARNING: DELETE removed collection\n"
    "    ...................... pass (with 1 warning)\n"
    "    ...................... \r10. mkcol................. FAIL (MKCOL failed)\n"
    "\r18. cond_put_corrupt_token \r18. cond_put_corrupt_token SKIPPED\n"
    "<- summary for `basic': of 3 tests run: 2 passed, 1 failed. 66.7%\n"
)
# Of the thousand events: another digest means that the generator changed.
EVENTS = "200bb2d9194daa3d50f40a17df16c9d77b0e88599f7853726d2307090cb69c3e"


class Judging(unittest.TestCase):
    """The rules about expected failures."""

    def verdicts(self, raw: dict[str, str], expected: dict[str, str]) -> dict[str, str]:
        results = SuiteResults("s")
        for name, what in raw.items():
            results.record(name, what)
        judge(results, {("s", name): reason for name, reason in expected.items()} | {("other", "x"): "not this suite"})
        return {test.name: test.verdict for test in results.tests}

    def test_without_a_list_only_a_pass_passes(self):
        raw = {"a": PASSED, "b": FAILED, "c": SKIPPED}
        self.assertEqual(self.verdicts(raw, {}), {"a": PASSED, "b": FAILED, "c": FAILED})

    def test_a_listed_test_must_not_pass(self):
        raw = {"a": PASSED, "b": FAILED, "c": SKIPPED}
        found = self.verdicts(raw, {"a": "r", "b": "r", "c": "r"})
        self.assertEqual(found, {"a": FAILED, "b": SKIPPED, "c": SKIPPED})

    def test_a_line_without_a_test_fails(self):
        self.assertEqual(self.verdicts({"a": PASSED}, {"gone": "r"}), {"a": PASSED, "gone": FAILED})

    def test_a_check_that_raises_fails_and_names_stay_unique(self):
        results = SuiteResults("s")
        for _ in range(2):
            with results.check("a b"):
                assert 1 + 1 == 3
        self.assertEqual([(test.name, test.raw) for test in results.tests], [("a-b", FAILED), ("a-b~2", FAILED)])

    def test_every_line_needs_a_reason(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("s a  # because\n")
            file.flush()
            self.assertEqual(read_expected(Path(file.name)), {("s", "a"): "because"})
            file.write("s b\n")
            file.flush()
            self.assertRaises(SystemExit, read_expected, Path(file.name))


class Parsing(unittest.TestCase):
    """What is read from other programs, and what is made for them."""

    def test_litmus(self):
        found = [(number, name, verdict) for number, name, verdict, _ in litmus.tests(LITMUS)]
        self.assertEqual(
            found,
            [
                ("00", "init", "pass"),
                ("09", "delete_fragment", "pass"),
                ("10", "mkcol", "FAIL"),
                ("18", "cond_put_corrupt_token", "SKIPPED"),
            ],
        )

    def test_events_are_the_same_everywhere(self):
        made = events.generate()
        digest = hashlib.sha256(b"".join(body for _, body in made)).hexdigest()
        self.assertEqual(digest, EVENTS)
        sizes = [len(body) for _, body in made]
        self.assertEqual(len({uid for uid, _ in made}), events.DEFAULT_COUNT)
        self.assertTrue(min(sizes) > 1000 and 190_000 < max(sizes) < 205_000, (min(sizes), max(sizes)))
        widths = (len(line) for _, body in made for line in body.split(b"\r\n"))
        self.assertLessEqual(max(widths), events.FOLD_AT)


class Cutting(unittest.TestCase):
    """The disks that a power cut may leave."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.root, copy = self.folder / "root", self.folder / "copy"
        self.root.mkdir()
        (self.root / "a").write_bytes(b"old!" * 512)
        shutil.copytree(self.root, copy)
        self.disk, self.at = disk.Disk(self.root, copy), 0

    def follow(self, what, path="a", a=0, b=0, data=b"", path2=""):
        """One record."""
        inode = (self.root / path if path else self.root).stat().st_ino
        names = (str(self.root / path), str(self.root / path2)) if path2 else ("", "")
        self.disk.follow(disk.Record(self.at, what, inode, a, b, *names, data))
        self.at += 1

    def worlds(self):
        """(name, content) of the file, over many cuts."""
        seen = set()
        for seed in range(200):
            to = self.folder / "cut"
            self.disk.cut(to, random.Random(seed))
            (found,) = to.iterdir()
            seen.add((found.name, found.read_bytes()))
            shutil.rmtree(to)
        return seen

    def test_what_is_synced_is_there_and_the_rest_may_be(self):
        self.follow(disk.WRITE, data=b"one!" * 512)
        self.assertEqual({b"old!" * 512, b"one!" * 512} - {data for _, data in self.worlds()}, set())
        self.follow(disk.SYNC, a=1)
        self.follow(disk.WRITE, data=b"two!" * 512)
        self.follow(disk.SYNCED, a=1, b=1)
        seen = {data for _, data in self.worlds()}
        self.assertTrue({b"one!" * 512, b"two!" * 512} < seen, "whole, or torn")
        self.assertFalse(any(b"old" in data for data in seen))
        self.assertTrue(all(data[at : at + 512] == data[at : at + 4] * 128 for data in seen for at in range(0, 2048, 512)))

    def test_a_sync_that_failed_makes_nothing_safe(self):
        self.follow(disk.WRITE, data=b"one!" * 512)
        self.follow(disk.SYNC, a=1)
        self.follow(disk.SYNCED, a=1, b=0)
        self.assertIn(("a", b"old!" * 512), self.worlds())

    def test_a_new_name_is_there_once_its_directory_is_synced(self):
        self.follow(disk.RENAME, path2="b")
        self.assertEqual({name for name, _ in self.worlds()}, {"a", "b"})
        self.follow(disk.SYNC, path="", a=1)
        self.follow(disk.SYNCED, path="", a=1, b=1)
        self.assertEqual({name for name, _ in self.worlds()}, {"b"})


if __name__ == "__main__":
    unittest.main()
