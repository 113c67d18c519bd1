"""Flips bits in what a stopped or running cluster has on its disks."""

import glob
import os


def flip(path, at, bit=0x20):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ bit]))


def places_of(path, needle):
    with open(path, "rb") as file:
        data = file.read()
    at = data.find(needle)
    while at >= 0:
        yield at
        at = data.find(needle, at + 1)


def object_directory(cluster, replica=0):
    return os.path.join(cluster.directory, "object" if replica == 0 else f"object-{replica + 1}")


def flip_hot(cluster, piece, replica=0, offset=0):
    """Flips a bit of the first copy of that piece of bytes in the replica's volumes."""
    for path in sorted(glob.glob(os.path.join(object_directory(cluster, replica), "volumes", "*.wbv"))):
        for at in places_of(path, piece):
            flip(path, at + offset)
            return
    raise AssertionError("the bytes are in no volume")


def cold_file(cluster, piece):
    """(path, offset) of that piece of bytes in the cold store."""
    for folder, _, names in os.walk(os.path.join(object_directory(cluster), "cold")):
        for name in names:
            for at in places_of(os.path.join(folder, name), piece):
                return os.path.join(folder, name), at
    raise AssertionError("the bytes are in no cold object")


def flip_cold(cluster, piece):
    flip(*cold_file(cluster, piece))
