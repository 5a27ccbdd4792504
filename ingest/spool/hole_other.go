//go:build !linux

package spool

import "os"

// Holes says that the system can give back a part of a file.
const Holes = false

func hole(*os.File, int64, int64) {}
