//go:build !linux

package export

// pipe passes nothing here: bytes are read and written.
type pipe struct{}

func newPipe() *pipe { return nil }

func (*pipe) fill(int, int64, int64) int64  { return 0 }
func (*pipe) drain(int, int64, int64) int64 { return 0 }
func (*pipe) close()                        {}
