#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The public API changes only compatibly: proto_compat.py DESCRIPTOR_SET SNAPSHOT [--update]

SNAPSHOT holds the API as text, one row for each service method, field and enum value. A row may
come, and then has to be recorded with --update. A row may go only if its number is reserved (and
its name, so that JSON stays unambiguous); a method may not go at all. --update refuses what is
incompatible.
"""
import pathlib
import sys

from google.protobuf import descriptor_pb2

Type = descriptor_pb2.FieldDescriptorProto.Type
Label = descriptor_pb2.FieldDescriptorProto.Label
PACKAGE = "openshell.agent.v1"


def field_row(owner, field, oneofs):
    kind = field.type_name.lstrip(".") or Type.Name(field.type)[5:].lower()
    if Label.Name(field.label) == "LABEL_REPEATED":
        kind = "repeated " + kind
    elif field.proto3_optional:
        kind = "optional " + kind
    elif field.HasField("oneof_index"):
        kind = f"oneof {oneofs[field.oneof_index].name} {kind}"
    return f"field {owner} {field.number}", f"{field.name} {kind}"


def describe(files):
    """Returns ({key: value}, {(owner, number or name) that is reserved}) of our package."""
    rows, reserved = {}, set()

    def message(owner, body):
        rows[f"message {owner}"] = "-"
        rows.update(field_row(owner, f, body.oneof_decl) for f in body.field)
        reserved.update((owner, n) for span in body.reserved_range
                        for n in range(span.start, span.end))
        reserved.update((owner, name) for name in body.reserved_name)
        for nested in body.nested_type:
            message(f"{owner}.{nested.name}", nested)
        for nested in body.enum_type:
            enum(f"{owner}.{nested.name}", nested)

    def enum(owner, body):
        rows.update((f"value {owner} {v.number}", v.name) for v in body.value)
        reserved.update((owner, n) for span in body.reserved_range
                        for n in range(span.start, span.end + 1))
        reserved.update((owner, name) for name in body.reserved_name)

    for file in files.file:
        if file.package != PACKAGE:
            continue
        for service in file.service:
            for m in service.method:
                kinds = ["stream " * m.client_streaming + m.input_type.lstrip("."),
                         "stream " * m.server_streaming + m.output_type.lstrip(".")]
                rows[f"method {PACKAGE}.{service.name} {m.name}"] = " returns ".join(kinds)
        for body in file.message_type:
            message(f"{PACKAGE}.{body.name}", body)
        for body in file.enum_type:
            enum(f"{PACKAGE}.{body.name}", body)
    return rows, reserved


def quoted(what):
    return f'"{what}"' if isinstance(what, str) else what


def incompatible(old, new, reserved):
    for key, value in old.items():
        kind, owner, *number = key.split(" ")
        if new.get(key) == value:
            continue
        if key in new:
            yield f"{key}: was '{value}', is '{new[key]}'"
        elif kind not in ("field", "value"):
            yield f"{key}: is gone"
        elif f"message {owner}" not in new and kind == "field":
            continue  # the row of the message itself tells
        else:
            for what in (int(number[0]), value.split(" ")[0]):
                if (owner, what) not in reserved:
                    yield f"{key} ({value}): is gone; add 'reserved {quoted(what)};' where it stood"


def main():
    descriptor_set, snapshot = map(pathlib.Path, sys.argv[1:3])
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set.read_bytes())
    new, reserved = describe(files)
    if not new:
        sys.exit(f"{descriptor_set}: nothing of {PACKAGE} in it")
    lines = [f"{key}: {value}" for key, value in new.items()]
    old = dict(line.split(": ", 1) for line in snapshot.read_text().splitlines()
               if not line.startswith("#")) if snapshot.exists() else {}
    problems = list(incompatible(old, new, reserved))
    added = sorted(set(new) - set(old))
    if problems:
        sys.exit("\n".join(problems + [f"{len(problems)} incompatible changes"]))
    if sys.argv[3:] == ["--update"]:
        # What went compatibly stays recorded: its number must never come back.
        gone = [f"{key}: {value}" for key, value in old.items() if key not in new]
        snapshot.write_text("# SPDX-License-Identifier: Apache-2.0\n" +
                            "\n".join(sorted(lines + gone)) + "\n")
    elif added:
        sys.exit("\n".join(f"{key}: is new" for key in added) + "\nCompatible, but not recorded. "
                 f"Run: {sys.argv[0]} {descriptor_set} {snapshot} --update")
    print(f"{len(new)} rows, {len(added)} new")


main()
