# SPDX-License-Identifier: Apache-2.0
# osa_embed(TARGET SYMBOL FILE): add a source to TARGET that defines the bytes of FILE as
#   extern const unsigned char SYMBOL[];
#   extern const size_t SYMBOL_size;
# FILE may be made by the build; then TARGET must depend on the target that makes it.
function(osa_embed target symbol file)
  set(source ${CMAKE_BINARY_DIR}/embed/${symbol}.c)
  file(CONFIGURE OUTPUT ${source} @ONLY CONTENT [=[
/* Made by osa_embed(); the assembler reads the file, so that no compiler has to parse its bytes. */
#ifdef __APPLE__
#define NAME(symbol) "_" symbol
#define SECTION ".section __TEXT,__const\n"
#else
#define NAME(symbol) symbol
#define SECTION ".section .rodata,\"a\"\n"
#endif
#if __SIZEOF_SIZE_T__ == 8
#define WORD ".quad "
#else
#define WORD ".long "
#endif
__asm__(SECTION
        ".balign 16\n"
        ".globl " NAME("@symbol@") "\n"
        NAME("@symbol@") ":\n"
        ".incbin \"@file@\"\n"
        "1:\n"
        ".byte 0\n" /* text can be used as a string */
        ".balign 16\n"
        ".globl " NAME("@symbol@_size") "\n"
        NAME("@symbol@_size") ":\n"
        WORD "1b - " NAME("@symbol@") "\n"
        ".text\n");
typedef int osa_embed_is_not_empty;
]=])
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS ${file})
  target_sources(${target} PRIVATE ${source})
endfunction()
