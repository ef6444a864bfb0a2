#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The lints find what they are for, and leave alone what is right."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
SPDX = "// SPDX-License-" "Identifier: Apache-2.0\n"


class Lint(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        subprocess.run(["git", "init", "-q", self.root], check=True)
        self.write("src/base/ok.h", SPDX + "/** ok() - Says so */\nint ok(void);\n")
        self.write("src/base/ok.c", SPDX + '#include "base/ok.h"\n#include <stdio.h>\n')

    def write(self, path, text):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def lint(self, script, *arguments):
        command = [HERE / script, self.root, *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stdout

    def finds(self, script, expected):
        code, out = self.lint(script)
        self.assertEqual(code, 1, out)
        self.assertIn(expected, out)
        self.assertIn("\n1 problems\n", out)

    def passes(self, script):
        code, out = self.lint(script)
        self.assertEqual(code, 0, out)

    def test_hostile_inputs(self):
        self.write("tests/attack/a.c", SPDX + '    { 2, "descriptors", descriptors },\n')
        self.write("tests/unit/a.c", SPDX + "static void test_argv(void **state);\n")
        rows = {n: "attack 2" if n == 2 else "`tests/unit/a.c` test_argv" for n in [*range(1, 56), 75, 76, 78]}
        table = lambda: "".join(f"| {n} | input | {cell} |\n" for n, cell in rows.items())
        self.write("docs/hostile-inputs.md", table())
        self.passes("hostile_inputs.py")
        for number, cell, expected in ((3, "`tests/unit/a.c` test_env", "3: there is no tests/unit/a.c test_env"),
                                       (4, "`tests/unit/b.c`", "4: there is no tests/unit/b.c"),
                                       (5, "attack 5", "5: there is no attack 5"),
                                       (6, "nothing yet", "6: names no test")):
            good = rows[number]
            rows[number] = cell
            self.write("docs/hostile-inputs.md", table())
            self.finds("hostile_inputs.py", expected)
            rows[number] = good

    def test_include_upwards(self):
        self.passes("includes.py")
        self.write("src/rpc/a.h", SPDX)
        self.write("src/base/up.c", '#include "rpc/a.h"\n')
        self.finds("includes.py", "src/base/up.c:1: src/base may not include rpc/a.h; it may include base")

    def test_include_of_an_internal_header(self):
        self.write("src/base/x_internal.h", SPDX)
        self.write("src/io/a.c", '#include "base/x_internal.h"\n')
        self.finds("includes.py", "src/io/a.c:1: base/x_internal.h is private to src/base")

    def test_include_between_backends(self):
        self.write("src/backends/process/p.h", SPDX)
        self.write("src/backends/boxlite/b.c", '#include "backends/process/p.h"\n')
        self.finds("includes.py", "backends/process/p.h is private to src/backends/process")

    def test_include_in_a_comment(self):
        self.write("src/base/up.c", '/*\n#include "rpc/a.h"\n*/\n')
        self.passes("includes.py")

    def test_folder_outside_the_map(self):
        self.write("src/new/a.c", '#include "base/ok.h"\n')
        self.finds("includes.py", "src/new is not in the module map")

    def test_foreign_header(self):
        self.write("src/backends/process/a.c", "#include <seccomp.h>\n")
        self.passes("includes.py")
        self.write("src/agent/a.c", "#include <seccomp.h>\n")
        self.finds("includes.py", "src/agent/a.c:1: <seccomp.h> is foreign here; it may stand in src/ backends/process")

    def test_message_header(self):
        header = '#include "openshell/agent/v1/agent.pb-c.h"\n'
        self.write("src/agent/service/a.c", header)
        self.passes("includes.py")
        self.write("src/agent/a.c", header)
        self.finds("includes.py", "src/agent/a.c:1: <openshell/agent/v1/agent.pb-c.h> is foreign here")

    def test_linux_header_and_call(self):
        self.write("src/backends/process/a.c", "#include <sys/prctl.h>\nint x(void) { return prctl(1); }\n")
        self.write("src/base/linux_a.c", "#include <linux/landlock.h>\n")
        self.passes("includes.py")
        self.write("src/agent/a.c", "#include <sys/epoll.h>\n")
        self.finds("includes.py", "src/agent/a.c:1: <sys/epoll.h> is a header of Linux")
        self.write("src/agent/a.c", "\nint x(void) { return unshare(0); }\n")
        self.finds("includes.py", "src/agent/a.c:2: unshare() is a call of Linux")

    def test_forbidden_function(self):
        self.passes("forbidden.py")
        self.write("tests/a.c", "\nvoid f(char *a) { strcpy(a, \"atoi(1)\"); }\n")
        self.finds("forbidden.py", "tests/a.c:2: strcpy() is forbidden; use snprintf")

    def test_forbidden_outside_the_launcher(self):
        self.write("src/launcher/a.c", "int f(void) { return fork(); }\n")
        self.write("src/agent/a.c", "int f(struct ops *o) { return o->system(1) + my_fork(2); }\n")
        self.passes("forbidden.py")
        self.write("src/agent/b.c", "int f(void) { return fork(); }\n")
        self.finds("forbidden.py", "src/agent/b.c:1: fork() is forbidden here; use the launcher")

    def test_forbidden_in_the_launcher(self):
        self.write("src/launcher/a.c", 'int f(void) { return printf("x"); }\n')
        self.finds("forbidden.py", "src/launcher/a.c:1: printf() is forbidden here; use write(2)")

    def test_unfinished(self):
        self.write("src/base/a.c", "/* TO" "DO: later */\n")
        self.finds("forbidden.py", "src/base/a.c:1: TO" "DO marks unfinished work")
        self.write("src/base/a.c", "int x; // debug\n")
        self.finds("forbidden.py", "src/base/a.c:1: // marks debug code")

    def test_contract(self):
        self.write("src/base/a.h", "/**\n * a() - Does it\n * @x: this; @fn is that\n */\n"
                   "int a(int x, void (*fn)(int y)) __attribute__((noreturn));\n"
                   "/** b() - One thing; c() - another, with @z */\nint b(void);\nvoid c(char z[4]);\n"
                   "/** struct s - It\n * @m, @n: members\n */\nstruct s {\n    int m;\n    char n[2];\n};\n"
                   "enum e { A, B };\ntypedef void (*t)(int);\nextern int v;\n")
        self.passes("docstrings.py")

    def test_contract_missing(self):
        self.write("src/base/a.h", "/** a() - Too far away */\n\nint a(int x);\n")
        self.finds("docstrings.py", "src/base/a.h:3: a() has no contract above it")

    def test_contract_of_another_parameter(self):
        self.write("src/base/a.h", "/**\n * a() - Does it\n * @y: that\n */\nint a(int x);\n")
        self.finds("docstrings.py", "src/base/a.h:5: @y is not a parameter of a()")
        self.write("src/base/a.h", "/** struct a - It\n * @y: that\n */\nstruct a {\n    int x;\n};\n")
        self.finds("docstrings.py", "src/base/a.h:4: @y is not a member of struct a")

    def test_licence(self):
        self.passes("spdx.py")
        self.write("src/base/a.c", "int x;\n")
        self.finds("spdx.py", "src/base/a.c: no line 'SPDX-License-" "Identifier: Apache-2.0' at its top")
        self.write("src/base/a.c", SPDX + SPDX)
        self.finds("spdx.py", "src/base/a.c: no line")
        self.write("src/base/a.c", SPDX + "\n\n\n" + SPDX)
        self.finds("spdx.py", "src/base/a.c: more than one SPDX line")

    def test_header_alone(self):
        self.assertEqual(self.lint("headers.sh", "/nowhere"), (0, "1 headers\n"))
        self.write("src/base/a.h", "#pragma once\nsize_t x(void);\n")
        code, out = self.lint("headers.sh", "/nowhere")
        self.assertEqual((code, out), (1, "src/base/a.h does not compile alone\n2 headers\n"))

    def test_format(self):
        self.write(".clang-format", "BasedOnStyle: LLVM\n")
        code, _ = self.lint("format.sh")
        if code == 77:
            self.skipTest("clang-format-14 is missing")
        self.assertEqual(code, 0)
        self.write("src/base/a.c", "int  x ;\n")
        code, out = self.lint("format.sh")
        self.assertEqual((code, out), (1, "run: make fmt\n"))

    def test_nothing_to_check(self):
        subprocess.run(["rm", "-r", self.root / "src"], check=True)
        for script in ("includes.py", "forbidden.py", "docstrings.py", "spdx.py"):
            code, out = self.lint(script)
            self.assertEqual((code, out), (1, "nothing to check: wrong directory?\n"), script)


class ProtoCompat(unittest.TestCase):
    BASE = """syntax = "proto3"; package openshell.agent.v1;
        service S { rpc A(M) returns (M); %s }
        message M { string a = 1; %s }
        enum E { ZERO = 0; %s }"""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        code, out = self.check("rpc B(M) returns (stream M);", "int32 b = 2;", "ONE = 1;", "--update")
        self.assertEqual((code, out), (0, "7 rows, 7 new\n"))

    def check(self, method, field, value, *arguments):
        (self.root / "a.proto").write_text(self.BASE % (method, field, value))
        subprocess.run(["protoc", "-I", self.root, f"--descriptor_set_out={self.root}/ds",
                        self.root / "a.proto"], check=True)
        done = subprocess.run(["/usr/bin/python3", HERE / "proto_compat.py", self.root / "ds",
                               self.root / "api.txt", *arguments], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def test_same(self):
        code, out = self.check("rpc B(M) returns (stream M);", "int32 b = 2;", "ONE = 1;")
        self.assertEqual((code, out), (0, "7 rows, 0 new\n"))

    def test_new_field_is_recorded(self):
        change = ("rpc B(M) returns (stream M);", "int32 b = 2; bool c = 3;", "ONE = 1;")
        code, out = self.check(*change)
        self.assertEqual(code, 1)
        self.assertIn("field openshell.agent.v1.M 3: is new\nCompatible, but not recorded.", out)
        self.assertEqual(self.check(*change, "--update"), (0, "8 rows, 1 new\n"))
        self.assertEqual(self.check(*change), (0, "8 rows, 0 new\n"))

    def test_incompatible(self):
        same = ["rpc B(M) returns (stream M);", "int32 b = 2;", "ONE = 1;"]
        for index, changed, expected in (
            (0, "", "method openshell.agent.v1.S B: is gone"),
            (0, "rpc B(M) returns (M);", "method openshell.agent.v1.S B: was 'openshell.agent.v1.M "
             "returns stream openshell.agent.v1.M', is"),
            (1, "int64 b = 2;", "field openshell.agent.v1.M 2: was 'b int32', is 'b int64'"),
            (1, "repeated int32 b = 2;", "was 'b int32', is 'b repeated int32'"),
            (1, "reserved 2;", "field openshell.agent.v1.M 2 (b int32): is gone; add "
             "'reserved \"b\";'"),
            (2, "", "value openshell.agent.v1.E 1 (ONE): is gone; add 'reserved 1;'"),
        ):
            code, out = self.check(*same[:index], changed, *same[index + 1:], "--update")
            self.assertEqual(code, 1, changed)
            self.assertIn(expected, out)

    def test_removed_and_reserved(self):
        code, out = self.check("rpc B(M) returns (stream M);", 'reserved 2; reserved "b";', "ONE = 1;",
                               "--update")
        self.assertEqual((code, out), (0, "6 rows, 0 new\n"))
        code, out = self.check("rpc B(M) returns (stream M);", "string b = 2;", "ONE = 1;")
        self.assertEqual(code, 1)
        self.assertIn("field openshell.agent.v1.M 2: was 'b int32', is 'b string'", out)


class Wire(unittest.TestCase):
    TABLE = ("# comment\nrpc\tgate.v1.Gate\t-\tOpen\tgate.v1.M\tstream gate.v1.M\n"
             "field\tgate.v1.M\t1\ta\tmap<string,int32>\t-\n"
             "field\tgate.v1.M\t2\tb\tbytes\tchoice\n"
             "field\tgate.v1.M\t3\tc\toptional uint32\t-\nreserved\tgate.v1.M\t4-4\t-\t-\t-\n")
    SAME = ("stream M", "map<string, int32> a = 1;", "oneof choice { bytes b = 2; }")

    def check(self, returns, first, second, more=""):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "gate.proto").write_text(
                'syntax = "proto3"; package gate.v1;\n'
                f"service Gate {{ rpc Open(M) returns ({returns}); }}\n"
                f"message M {{ {first} {second} {more} }}\n")
            (root / "table").write_text(self.TABLE)
            subprocess.run(["protoc", f"-I{folder}", f"--descriptor_set_out={folder}/set",
                            "gate.proto"], check=True)
            done = subprocess.run([HERE / "wire.py", root / "set", root / "table"],
                                  capture_output=True, text=True)
            return done.returncode, done.stdout

    def test_the_same(self):
        self.assertEqual(self.check(*self.SAME), (0, "3 rows agree, 0 differ\n"))
        self.assertEqual(self.check(*self.SAME, "optional uint32 c = 3;"),
                         (0, "4 rows agree, 0 differ\n"))

    def test_what_differs(self):
        for index, changed, expected in (
            (0, "M", "rpc gate.v1.Gate - Open gate.v1.M gate.v1.M: the gateway has rpc gate.v1.Gate"),
            (1, "map<string, string> a = 1;", "map<string,string> -: the gateway has field gate.v1.M 1 a"),
            (2, "bytes b = 2;", "field gate.v1.M 2 b bytes -: the gateway has field gate.v1.M 2 b bytes choice"),
            (2, "oneof choice { bytes b = 4; }", "field gate.v1.M 4 b bytes choice: the gateway has"),
            (2, "uint32 c = 3;", "field gate.v1.M 3 c uint32 -: the gateway has"),
            (2, "bool d = 5;", "field gate.v1.M 5 d bool -: the gateway has no such name"),
        ):
            code, out = self.check(*self.SAME[:index], changed, *self.SAME[index + 1:])
            self.assertEqual(code, 1, changed)
            self.assertIn(expected, out)


if __name__ == "__main__":
    sys.exit(unittest.main())
