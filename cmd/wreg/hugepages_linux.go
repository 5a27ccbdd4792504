package main

import (
	"runtime"
	"syscall"
)

// headerMemory is what reading 100,000 headers takes. It is address space: pages
// that are not used are not there.
const headerMemory = 96 << 20

// askHugePages makes the next headerMemory bytes of Go's heap come in pages of
// 2 MiB where the system grants them on request, which is how most are set up.
// Header text and tables are filled once and soon dropped, and with pages of 4 KiB
// a third of an ingest without hashes goes into page faults. The advice stays with
// the addresses when the block given it is freed. It changes speed alone, so a
// refusal is not looked at.
func askHugePages() {
	_ = syscall.Madvise(make([]byte, headerMemory), syscall.MADV_HUGEPAGE)
	runtime.GC()
}
