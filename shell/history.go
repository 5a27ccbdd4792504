package shell

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// Bounds of the file that keeps what was typed.
const (
	maxHistory      = 1000    // lines that are kept
	maxHistoryBytes = 1 << 20 // of the file that are read
)

// history keeps the last lines in a file that only its owner reads. Lines that cannot be
// shown as they are (another program may have written the file) are not taken from it.
type history struct {
	file  string
	lines []string
}

// openHistory reads a file, which need not exist.
func openHistory(file string) (*history, error) {
	h := &history{file: file}
	f, err := openPlain(file, os.O_RDONLY)
	if f == nil {
		return h, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return h, err
	}
	if st.Size() > maxHistoryBytes {
		if _, err := f.Seek(-maxHistoryBytes, io.SeekEnd); err != nil {
			return h, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxHistoryBytes))
	if err != nil {
		return h, err
	}
	total := bytes.Count(data, []byte("\n"))
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxHistoryBytes+1)
	for first := st.Size() > maxHistoryBytes; lines.Scan(); first = false {
		if line := lines.Text(); !first && showable(line) {
			h.lines = append(h.lines, line)
		}
	}
	if len(h.lines) > maxHistory {
		h.lines = h.lines[len(h.lines)-maxHistory:]
	}
	if total > 2*maxHistory || st.Size() > maxHistoryBytes {
		return h, errors.Join(f.Close(), h.rewrite()) // Windows renames over no file that is held
	}
	return h, lines.Err()
}

// openPlain opens a file; nil for none, and for a pipe, a device or a link, which are not
// waited for and not written to.
func openPlain(file string, flags int) (*os.File, error) {
	if st, err := os.Lstat(file); err == nil && !st.Mode().IsRegular() {
		return nil, nil
	}
	f, err := os.OpenFile(file, flags|syscall.O_NONBLOCK, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return f, err
}

// rewrite leaves the lines that are kept.
func (h *history) rewrite() error {
	temp, err := os.CreateTemp(filepath.Dir(h.file), ".history-") // readable by its owner
	if err != nil {
		return err
	}
	_, err = temp.WriteString(strings.Join(h.lines, "\n") + "\n")
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), h.file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}

func showable(line string) bool {
	return line != "" && utf8.ValidString(line) && strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// Write adds a line. What cannot be kept is not worth an error while typing.
func (h *history) Write(line string) (int, error) {
	line = strings.TrimSpace(line)
	if !showable(line) || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return len(h.lines), nil
	}
	h.lines = append(h.lines, line)
	f, err := openPlain(h.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY)
	if f == nil || err != nil {
		return len(h.lines), nil
	}
	_, err = f.WriteString(line + "\n")
	return len(h.lines), errors.Join(err, f.Close())
}

// GetLine is a line, the oldest first.
func (h *history) GetLine(at int) (string, error) {
	if at < 0 || at >= len(h.lines) {
		return "", errors.New("no such line")
	}
	return h.lines[at], nil
}

// Len is how many there are.
func (h *history) Len() int { return len(h.lines) }

// Dump is all of them.
func (h *history) Dump() any { return h.lines }
