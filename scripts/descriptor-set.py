#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Prepare a protoc descriptor set: descriptor-set.py FULL REFLECTION FOR_PROTOC_C

REFLECTION is the set without source positions, as server reflection serves it.
FOR_PROTOC_C is the same without proto3_optional marks, which protoc-c 1.4 does not know.
"""
import pathlib
import sys

from google.protobuf import descriptor_pb2


def messages(owner):
    for message in owner:
        yield message
        yield from messages(message.nested_type)


def main():
    full, reflection, for_c = map(pathlib.Path, sys.argv[1:])
    files = descriptor_pb2.FileDescriptorSet.FromString(full.read_bytes())
    for file in files.file:
        file.ClearField("source_code_info")
    reflection.write_bytes(files.SerializeToString())
    for file in files.file:
        for message in messages(file.message_type):
            for field in message.field:
                field.ClearField("proto3_optional")
    for_c.write_bytes(files.SerializeToString())


main()
