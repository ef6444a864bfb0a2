# SPDX-License-Identifier: Apache-2.0
# osa_flags: what every target of ours compiles with. Generated code links osa_sanitize alone.
add_library(osa_sanitize INTERFACE)
if(OSA_SANITIZE)
  target_compile_options(osa_sanitize INTERFACE -fsanitize=${OSA_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(osa_sanitize INTERFACE -fsanitize=${OSA_SANITIZE})
  if(OSA_SANITIZE MATCHES undefined)
    target_compile_options(osa_sanitize INTERFACE -fno-sanitize-recover=undefined)
  endif()
endif()
if(OSA_FUZZ) # coverage for libFuzzer in everything of ours; the targets add the driver
  target_compile_options(osa_sanitize INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(osa_sanitize INTERFACE -fsanitize=fuzzer-no-link)
endif()

add_library(osa_flags INTERFACE)
target_include_directories(osa_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(osa_flags INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64
                           OSA_VERSION="${PROJECT_VERSION}")
target_compile_options(osa_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
  $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation> # error and log texts are cut on purpose
  -Wpointer-arith -Wwrite-strings -Wundef -fstack-protector-strong -fno-strict-overflow
  -fno-strict-aliasing # the socket interface reads one struct as another
  )
if(OSA_WERROR)
  target_compile_options(osa_flags INTERFACE -Werror)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(osa_flags INTERFACE -D_FORTIFY_SOURCE=2 -ffunction-sections -fdata-sections)
  target_link_options(osa_flags INTERFACE -Wl,-z,relro,-z,now -Wl,--gc-sections)
endif()
target_link_libraries(osa_flags INTERFACE osa_sanitize)

# osa_link_map(TARGET): have the linker tell what it took, in TARGET.map beside the program; scripts/sbom.py
# reads it.
function(osa_link_map target)
  target_link_options(${target} PRIVATE -Wl,-Map=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/${target}.map)
endfunction()
