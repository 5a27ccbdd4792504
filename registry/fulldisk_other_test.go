//go:build !unix

package registry_test

import "errors"

// fullChild needs a limit on the size of files, which only Unix has.
func fullChild(string) error { return errors.ErrUnsupported }
