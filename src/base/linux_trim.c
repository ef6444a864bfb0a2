// SPDX-License-Identifier: Apache-2.0
#include "base/harden.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of segments that are never written only whole pages inside: an edge may be shared with one that is. */
static int give_back_segments(struct dl_phdr_info *object, size_t size, void *ctx)
{
    (void)size;
    uintptr_t page = *(const uintptr_t *)ctx;
    if (object->dlpi_addr == getauxval(AT_SYSINFO_EHDR))
        return 0; /* the kernel's own, vdso(7) */
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) != 0)
            continue;
        uintptr_t start = (object->dlpi_addr + segment->p_vaddr + page - 1) & ~(page - 1);
        uintptr_t end = (object->dlpi_addr + segment->p_vaddr + segment->p_memsz) & ~(page - 1);
        if (start < end)
            (void)madvise((void *)start, end - start, MADV_DONTNEED);
    }
    return 0;
}

void osa_trim_memory(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    (void)malloc_trim(0);
    (void)dl_iterate_phdr(give_back_segments, &page);
}
