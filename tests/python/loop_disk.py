"""Small disks of a test's own: file systems on loop devices, which can lose power, and in memory, which fill up.

All need root, and a kernel that lets this process mount; elsewhere the test is skipped and says why."""

import contextlib
import os
import shutil
import subprocess
import tempfile

import pytest

from cluster import wait_for

MAKE = {"ext4": ["mkfs.ext4", "-q", "-F", "-E", "nodiscard"], "xfs": ["mkfs.xfs", "-q", "-f", "-K"]}
SMALLEST_MEGABYTES = 320  # that mkfs.xfs takes
SYSTEM = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, PATH=SYSTEM))
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def unmount(place):
    """Also where somebody is still there: then it goes with them. Where nothing is mounted, nothing is done."""
    try:
        run("umount", place)
    except AssertionError:
        subprocess.run(["umount", "-l", place], capture_output=True)


def skip_unless_mountable(*tools):
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    for tool in ("mount", "umount", *tools):
        if shutil.which(tool, path=SYSTEM) is None:
            pytest.skip(f"{tool} is not installed")


class LoopDisk:
    """A file system in a file. Its loop device goes with the mount."""

    def __init__(self, kind):
        self.directory = tempfile.mkdtemp(prefix="waybill-disk-")
        self.image = os.path.join(self.directory, "image")
        self.place = os.path.join(self.directory, "mounted")
        os.mkdir(self.place)
        with open(self.image, "wb") as image:
            image.truncate(SMALLEST_MEGABYTES << 20)
        try:
            # Namespaces that somebody makes meanwhile have the mount, too: it goes there as well when it goes here.
            run("mount", "--bind", self.directory, self.directory)
            run("mount", "--make-shared", self.directory)
            run(*MAKE[kind], self.image)
            self.mount()
        except AssertionError as failure:
            self.end()
            pytest.skip(f"no {kind} on a loop device here: {failure}")

    def mount(self):
        run("mount", "-o", "loop", self.image, self.place)

    def sync(self):
        run("sync", "-f", self.place)

    def lose_power(self):
        """From this moment on nothing reaches the disk, not even what the file system's log gathered."""
        run("xfs_io", "-x", "-c", "shutdown", self.place)

    def come_back(self):
        """As after power was lost; nobody may have anything open on it."""
        run("umount", self.place)
        wait_for(lambda: run("losetup", "-j", self.image) == "", "the loop device to be free")
        self.mount()

    def end(self):
        unmount(self.place)
        unmount(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)


@contextlib.contextmanager
def loop_disk(kind):
    skip_unless_mountable("losetup", "xfs_io", MAKE[kind][0])
    disk = LoopDisk(kind)
    try:
        yield disk
    finally:
        disk.end()


class MemoryDisk:
    """A file system in memory, of a fixed size."""

    def __init__(self, megabytes):
        self.place = tempfile.mkdtemp(prefix="waybill-disk-")
        try:
            run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "waybill-test", self.place)
        except AssertionError as failure:
            os.rmdir(self.place)
            pytest.skip(f"no tmpfs can be mounted here: {failure}")

    def free_bytes(self):
        status = os.statvfs(self.place)
        return status.f_bavail * status.f_frsize

    def fill(self, leave_bytes=0):
        """Until no more than that is free, whatever others write meanwhile."""
        with open(os.path.join(self.place, "ballast"), "ab", buffering=0) as ballast:
            try:
                while self.free_bytes() > leave_bytes:
                    ballast.write(bytes(min(self.free_bytes() - leave_bytes, 1 << 20)))
            except (OSError, ValueError):
                pass  # that was the last of it

    def make_room(self):
        os.unlink(os.path.join(self.place, "ballast"))

    def end(self):
        unmount(self.place)
        shutil.rmtree(self.place, ignore_errors=True)


@contextlib.contextmanager
def memory_disk(megabytes):
    skip_unless_mountable()
    disk = MemoryDisk(megabytes)
    try:
        yield disk
    finally:
        disk.end()
