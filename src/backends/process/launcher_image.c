// SPDX-License-Identifier: Apache-2.0
/* The bytes of the launcher. The assembler reads the file that OSA_LAUNCHER_PATH names. */
#include "backends/process/launcher.h"

__asm__(".pushsection .rodata.launcher_image, \"a\", @progbits\n"
        ".balign 16\n"
        ".global launcher_image\n"
        ".hidden launcher_image\n"
        "launcher_image:\n"
        ".incbin \"" OSA_LAUNCHER_PATH "\"\n"
        ".global launcher_image_end\n"
        ".hidden launcher_image_end\n"
        "launcher_image_end:\n"
        ".byte 0\n"
        ".popsection\n");
