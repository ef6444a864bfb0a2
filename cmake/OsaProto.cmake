# SPDX-License-Identifier: Apache-2.0
# osa_proto_library(TARGET [ROOT DIR] FILES…): protobuf-c code for .proto files below DIR (proto/ unless
# given), and their descriptor set.
#
# protoc-c 1.4 refuses proto3 `optional`. protoc itself writes the descriptor set; a copy without the
# proto3_optional marks (their synthetic one-field oneofs stay) goes to protoc-c, and server
# reflection serves the original.
find_program(PROTOC protoc REQUIRED)
find_program(PROTOC_C protoc-c REQUIRED)
find_program(SYSTEM_PYTHON NAMES /usr/bin/python3 python3 REQUIRED)

function(osa_proto_library target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "ROOT" "")
  if(NOT arg_ROOT)
    set(arg_ROOT ${CMAKE_SOURCE_DIR}/proto)
  endif()
  set(files ${arg_UNPARSED_ARGUMENTS})
  set(out ${CMAKE_BINARY_DIR}/proto)
  set(sources)
  set(headers)
  foreach(file ${files})
    string(REGEX REPLACE "\\.proto$" "" stem ${file})
    list(APPEND sources ${out}/${stem}.pb-c.c)
    list(APPEND headers ${out}/${stem}.pb-c.h)
  endforeach()
  set(inputs ${files})
  list(FILTER inputs EXCLUDE REGEX "^google/protobuf/") # protoc brings these
  list(TRANSFORM inputs PREPEND ${arg_ROOT}/)
  add_custom_command(
    OUTPUT ${out}/${target}.ds ${sources} ${headers}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${out}
    COMMAND ${PROTOC} -I ${arg_ROOT} --include_imports --include_source_info
            --descriptor_set_out=${out}/${target}.full.ds ${files}
    COMMAND ${SYSTEM_PYTHON} ${CMAKE_SOURCE_DIR}/scripts/descriptor-set.py
            ${out}/${target}.full.ds ${out}/${target}.ds ${out}/${target}.c.ds
    COMMAND ${PROTOC_C} --descriptor_set_in=${out}/${target}.c.ds --c_out=${out} ${files}
    DEPENDS ${inputs} ${CMAKE_SOURCE_DIR}/scripts/descriptor-set.py
    COMMENT "protobuf-c: ${target}" VERBATIM)
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} SYSTEM PUBLIC ${out})
  target_link_libraries(${target} PUBLIC PkgConfig::PROTOBUF_C PRIVATE osa_sanitize)
  set_target_properties(${target} PROPERTIES OSA_DESCRIPTOR_SET ${out}/${target}.ds)
endfunction()

# osa_descriptor_set(NAME FILES…): build/proto/NAME.ds, one descriptor set of .proto files below proto/ and all
# that they import, as server reflection serves it.
function(osa_descriptor_set name)
  set(out ${CMAKE_BINARY_DIR}/proto)
  list(TRANSFORM ARGN PREPEND ${CMAKE_SOURCE_DIR}/proto/ OUTPUT_VARIABLE inputs)
  add_custom_command(
    OUTPUT ${out}/${name}.ds
    COMMAND ${CMAKE_COMMAND} -E make_directory ${out}
    COMMAND ${PROTOC} -I ${CMAKE_SOURCE_DIR}/proto --include_imports
            --descriptor_set_out=${out}/${name}.ds ${ARGN}
    DEPENDS ${inputs} COMMENT "descriptor set: ${name}" VERBATIM)
endfunction()
