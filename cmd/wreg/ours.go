package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"wreg/ingest/regular"
)

// ours says whether a file is there that wreg may write over, as its first KiB shows. Any
// other file is an error, with there true: what it holds may exist nowhere else. What is no
// plain file is one with there false: a rename would take the name from a device, a pipe or
// a link, /dev/stdout among them.
func ours(path, what string, wrote func(head []byte) bool) (there bool, err error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is %s", path, regular.Kind(info.Mode()))
	}
	f, err := regular.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err == nil && !wrote(head) {
		err = fmt.Errorf("%s: no %s", path, what)
	}
	return true, err
}
