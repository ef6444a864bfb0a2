#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Our .proto files agree with the gateway's protocol: wire.py DESCRIPTOR_SET TABLE

What we declare in one of the table's packages must be there with the same name, number, type, label
and oneof. What we leave out is no error: a receiver skips fields that it does not know.
"""
import pathlib
import sys

from google.protobuf import descriptor_pb2

Type = descriptor_pb2.FieldDescriptorProto.Type
Label = descriptor_pb2.FieldDescriptorProto.Label
LABELS = {"LABEL_OPTIONAL": "", "LABEL_REQUIRED": "required ", "LABEL_REPEATED": "repeated "}


def scalar(field):
    return field.type_name.lstrip(".") or Type.Name(field.type)[len("TYPE_"):].lower()


def field_row(owner, message, field):
    entries = {f".{owner}.{n.name}": n for n in message.nested_type if n.options.map_entry}
    if field.type_name in entries:
        key, value = entries[field.type_name].field
        kind = f"map<{scalar(key)},{scalar(value)}>"
    elif field.proto3_optional:
        kind = "optional " + scalar(field)
    else:
        kind = LABELS[Label.Name(field.label)] + scalar(field)
    inside = field.HasField("oneof_index") and not field.proto3_optional
    oneof = message.oneof_decl[field.oneof_index].name if inside else "-"
    return "field", owner, str(field.number), field.name, kind, oneof


def message_rows(owner, message):
    if not message.field:
        yield "message", owner, "-", "-", "-", "-"
    for field in message.field:
        yield field_row(owner, message, field)
    for nested in message.nested_type:
        if not nested.options.map_entry:
            yield from message_rows(f"{owner}.{nested.name}", nested)
    for nested in message.enum_type:
        yield from enum_rows(f"{owner}.{nested.name}", nested)


def enum_rows(owner, enum):
    for value in enum.value:
        yield "enum", owner, str(value.number), value.name, "-", "-"


def file_rows(file):
    for service in file.service:
        for method in service.method:
            yield ("rpc", f"{file.package}.{service.name}", "-", method.name,
                   "stream " * method.client_streaming + method.input_type.lstrip("."),
                   "stream " * method.server_streaming + method.output_type.lstrip("."))
    for message in file.message_type:
        yield from message_rows(f"{file.package}.{message.name}", message)
    for enum in file.enum_type:
        yield from enum_rows(f"{file.package}.{enum.name}", enum)


def package_of(owner):
    """Packages are lower case, types are not."""
    return ".".join(part for part in owner.split(".") if part[:1].islower())


def main():
    _, descriptors, path = sys.argv
    table = [tuple(line.split("\t")) for line in pathlib.Path(path).read_text().splitlines()
             if line and not line.startswith("#")]
    known = {row for row in table if row[0] != "reserved"}
    packages = {package_of(row[1]) for row in table}
    files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(descriptors).read_bytes()).file
    ours = {row for file in files for row in file_rows(file) if package_of(row[1]) in packages}
    wrong = sorted(ours - known)
    for row in wrong:
        near = [k for k in known
                if k[1] == row[1] and (k[3] == row[3] or k[2] == row[2] and k[2] != "-")]
        theirs = " | ".join(" ".join(k) for k in near) or "no such name"
        print(f"{' '.join(row)}: the gateway has {theirs}")
    print(f"{len(ours & known)} rows agree, {len(wrong)} differ")
    sys.exit(1 if wrong or not ours & known else 0)


main()
