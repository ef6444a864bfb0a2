# SPDX-License-Identifier: Apache-2.0
"""What the lint scripts share: the files to look at, and C text without comments and strings."""
import pathlib
import re
import subprocess
import sys

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def files(root, *patterns):
    """Tracked and new files below root that match the git pathspecs, as paths relative to it."""
    listed = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--",
         *patterns], check=True, capture_output=True, text=True).stdout
    return sorted(p for p in map(pathlib.PurePosixPath, filter(None, listed.split("\0")))
                  if (pathlib.Path(root) / p).is_file())


def blank(text, keep=""):
    """The text with comments and literals blanked out, lines and columns kept.

    keep: "strings" leaves string literals, "comments" leaves comments.
    """
    def empty(match):
        token = match.group()
        if token[0] == "/" and keep != "comments" or token[0] != "/" and keep != "strings":
            return re.sub(r"[^\n]", " ", token)
        return token
    return TOKEN.sub(empty, text)


def comments(text):
    """Yields (offset, comment) for each comment."""
    for match in TOKEN.finditer(text):
        if match.group()[0] == "/":
            yield match.start(), match.group()


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def report(problems, checked):
    """Print the problems and end the program with 1, or say what was looked at."""
    for problem in problems:
        print(problem)
    if problems:
        print(f"{len(problems)} problems")
        sys.exit(1)
    if not checked:
        print("nothing to check: wrong directory?")
        sys.exit(1)
    print(f"{checked} files, no problem")
