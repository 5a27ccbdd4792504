package export

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// maxDocument bounds a JSON file beside the weights that is read whole.
const maxDocument = 16 << 20

// openFile opens a file of a folder to be read. Opening a named pipe would wait for
// somebody who writes to it, and nothing could end that.
func openFile(folder *os.Root, name string) (*os.File, error) {
	info, err := folder.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s in %s is no regular file", name, folder.Name())
	}
	return folder.Open(name)
}

// readFile reads a file of at most so many bytes.
func readFile(folder *os.Root, name string, most int64) ([]byte, error) {
	f, err := openFile(folder, name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s in %s: exceeds %d bytes", name, folder.Name(), most)
	}
	return data, errors.Join(err, f.Close())
}
