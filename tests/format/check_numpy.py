"""Decodes the files that format_file wrote with the readers that docs/formats.md prints, and compares to the
bit; also holds the page's table of bits a value against what the library counts.

    check_numpy.py docs/formats.md format_file.out

A fenced python block that begins "# reads: a, b" is the reader of the formats a and b: the last function
that it defines. The other blocks are theirs to use. Exit 77: this Python has no NumPy."""
import glob
import os
import re
import sys

try:
    import numpy as np
except ImportError:
    print(sys.executable + " has no numpy; FRUGAL_PEERS may name a Python that has")
    sys.exit(77)

MOST_LINES = 30


def readers_of(page):
    names, readers = {}, {}
    for block in re.findall(r"```python\n(.*?)```", page, re.S):
        if block.count("\n") > MOST_LINES:
            sys.exit("a reader of docs/formats.md is longer than %d lines:\n%s" % (MOST_LINES, block))
        exec(block, names)
        reads = re.match(r"# reads: (.*)", block)
        if reads:
            last = re.findall(r"^def (\w+)", block, re.M)[-1]
            readers.update((f.strip(), names[last]) for f in reads[1].split(","))
    return names["load"], readers


def check_file(path, load, readers):
    """What is wrong, or None."""
    tensors, meta = load(path)
    (key, value), = meta.items()
    name, (format, rows, cols) = key[len("frugal.format."):], value.split()
    if format not in readers:
        return "docs/formats.md has no reader of " + format
    parts = {k[len(name) + 1:]: v for k, v in tensors.items() if k.startswith(name + ".")}
    have = readers[format](parts, format, int(rows), int(cols))
    want = tensors["want"]
    if have.dtype != np.float32 or have.shape != want.shape:
        return "%s is %s %s, not %s" % (path, have.dtype, have.shape, want.shape)
    wrong = np.argwhere(have.view(np.uint32) != want.view(np.uint32))
    if len(wrong):
        r, c = wrong[0]
        return "%s: %d values differ; [%d, %d] is %r, not %r" % (
            path, len(wrong), r, c, have[r, c], want[r, c])
    return None


def main():
    page, folder = open(sys.argv[1]).read(), sys.argv[2]
    load, readers = readers_of(page)
    files = sorted(glob.glob(os.path.join(folder, "*.safetensors")))
    if not files:
        sys.exit("no files in " + folder)
    faults = {check_file(f, load, readers) for f in files} - {None}
    for line in open(os.path.join(folder, "bits.txt")):
        format, bits = line.split()
        if not re.search(r"^\| *`%s` *\| *%s *\|" % (re.escape(format), re.escape(bits)), page, re.M):
            faults.add("docs/formats.md should say: | `%s` | %s |" % (format, bits))
    for fault in sorted(faults):
        print(fault)
    print("%d files, %d formats with a reader, %d faults" % (len(files), len(readers), len(faults)))
    sys.exit(1 if faults else 0)


main()
