# What the doors to C that hand over a configuration have in common: the memory that it stands in.

from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free


cdef class _Memory:
    """C arrays that live as long as this object: the configuration, until C has copied it."""

    cdef list blocks
    cdef list kept

    def __cinit__(self):
        self.blocks = []
        self.kept = []

    cdef void *array(self, size_t n, size_t each) except NULL:
        cdef void *block = calloc(n + 1, each)
        if block == NULL:
            raise MemoryError
        self.blocks.append(<size_t>block)
        return block

    cdef const char *bytes(self, bytes data) except NULL:
        self.kept.append(data)
        return data

    def __dealloc__(self):
        for block in self.blocks:
            free(<void *><size_t>block)


cdef int *fill_cpus(cpus, uint32_t threads, _Memory memory) except? NULL:
    if not cpus:
        return NULL
    if len(cpus) < threads:
        raise ValueError(f"{threads} threads need a CPU each, not {len(cpus)} in all")
    cdef int *out = <int *>memory.array(len(cpus), sizeof(int))
    for i, cpu in enumerate(cpus):
        out[i] = cpu
    return out
