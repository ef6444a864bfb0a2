#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every function that a header declares has a contract above it: docstrings.py ROOT

The contract is a comment "/** name() - what it does". One comment may stand above a group of
declarations without a blank line between; it then has "name()" for each. Every @name in it must be
a parameter. "/** struct name - …" is held against the struct's members in the same way.
"""
import pathlib
import re
import sys

from csource import blank, files, line_of, report

ATTRIBUTES = re.compile(r"\b(?:OSA_MUST_CHECK|OSA_PRINTF\s*\([^()]*\)|__attribute__\s*\(\(.*?\)\))",
                        re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.MULTILINE)
FUNCTION = re.compile(r"[\w\s*]*?(\w+)\s*\((.*)\)\s*$", re.DOTALL)


def statements(code):
    """Yields (start, end, text) of each declaration at the top level, bodies of {} included."""
    depth, start = 0, None
    for i, c in enumerate(code):
        if start is None and not c.isspace():
            start = i
        if c in "{(":
            depth += 1
        elif c in "})":
            depth -= 1
        if depth == 0 and (c == ";" or c == "}" and is_function_body(code[start:i])):
            if c != ";" or code[start:i].strip():
                yield start, i + 1, code[start:i + (c == "}")]
            start = None


def is_function_body(text):
    """Does the { of this text open a function (rather than a struct, enum or initialiser)?"""
    return text[:text.find("{")].rstrip().endswith(")")


def parameters(text):
    """Names of the parameters in an argument list."""
    names, depth, current = [], 0, ""
    for c in text + ",":
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            pointer = re.search(r"\(\s*\*+\s*(?:const\s+)?(\w+)", current)
            plain = re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*$", current)
            names.append(pointer[1] if pointer else plain[1] if plain else "")
            current = ""
        else:
            current += c
    return set(names)


def check_names(where, what, doc, names):
    for name in sorted(set(re.findall(r"(?<![\w@])@(\w+)", doc)) - names):
        if name.endswith("_") and any(n.startswith(name) for n in names):
            continue  # @tls_* stands for all that begin so
        yield f"{where}: @{name} is not a {what}"


def declarations(text):
    """Yields (offset, statement, doc) of each declaration; doc is "" where no comment reaches it."""
    code = DIRECTIVE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), blank(text))
    code = ATTRIBUTES.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), code)
    doc, previous_end = "", 0
    for start, end, statement in statements(code):
        between = text[previous_end:start]
        found = re.findall(r"/\*.*?\*/", between, re.DOTALL)
        if found:
            doc = found[-1]
        if re.search(r"\n\s*\n", between.rpartition("*/")[2]):
            doc = ""  # a blank line ends the reach of the comment before it
        previous_end = end
        yield start, statement, doc


def check(path, text):
    shared = {}  # contract → parameters of all functions below it
    functions = []
    for start, statement, doc in declarations(text):
        where = f"{path}:{line_of(text, start)}"
        record = re.match(r"(?:struct|union|enum)\s+(\w+)\s*\{(.*)\}\s*$", statement, re.DOTALL)
        if record:
            if re.match(r"/\*\*[\s*]+struct " + record[1] + r"\b", doc):
                yield from check_names(where, "member of struct " + record[1], doc,
                                       set(re.findall(r"\w+", record[2])))
            continue
        function = FUNCTION.match(statement.split("{")[0])
        if not function or statement.startswith(("typedef", "_Static_assert", "static_assert")):
            continue
        if f"{function[1]}()" not in doc:
            yield f"{where}: {function[1]}() has no contract above it (/** {function[1]}() - … */)"
            continue
        shared.setdefault(doc, set()).update(parameters(function[2]))
        functions.append((where, function[1], doc))
    for where, name, doc in functions:
        yield from check_names(where, f"parameter of {name}()", doc, shared[doc])


def main():
    root = pathlib.Path(sys.argv[1])
    headers = files(root, "src/*.h", "tests/*.h", "bench/*.h")
    problems = []
    for path in headers:
        problems += check(path, (root / path).read_text())
    report(problems, len(headers))


main()
