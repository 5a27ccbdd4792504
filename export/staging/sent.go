package staging

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"strings"

	"wreg/ingest/regular"
	"wreg/ingest/sums"
)

// Sent is a file that was sent elsewhere, and is not in the folder any more.
type Sent struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Sink is where files of an export go as soon as they are finished, in place of a folder.
type Sink interface {
	Held(ctx context.Context, files []Sent) ([]bool, error) // which it still has
	Send(ctx context.Context, f Sent, from io.ReaderAt) error
	Land(ctx context.Context, files []Sent) error // makes all of them visible, at once or the last one last
}

// SentShard is what has to be known of a shard that was sent, for the receipt.
type SentShard struct {
	Sent
	Plan    string                 `json:"plan"`
	Tensors []SentTensor           `json:"tensors"` // in the plan's order
	Checked map[string]sums.Digest `json:"checked"` // source tensors that were read for it
}

// SentTensor is a tensor of it.
type SentTensor struct {
	Whole sums.Digest   `json:"whole"`
	Made  []sums.Digest `json:"made"` // by segment
}

// sentName begins the names of what is kept of shards that were sent.
const sentName = journalName + "-sent-"

// WriteSent remembers a shard that was sent. Its last line is the SHA-256 of the others, so that what is damaged does
// not count.
func (b *Folder) WriteSent(s SentShard) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = b.Write(sentName+s.Name, append(append(data, '\n'), sealOf(data)...), true)
	return err
}

func sealOf(data []byte) []byte {
	sum := sha256.Sum256(data)
	return append(hex.AppendEncode(nil, sum[:]), '\n')
}

// ReadSent gives what is known of a shard that was sent for a plan; nil: nothing.
func (b *Folder) ReadSent(name, plan string) *SentShard {
	data, err := regular.ReadIn(b.Root, sentName+name, maxJournal)
	if err != nil {
		return nil
	}
	text, seal, _ := bytes.Cut(data, []byte("\n"))
	var s SentShard
	if !bytes.Equal(seal, sealOf(text)) || json.Unmarshal(text, &s) != nil || s.Plan != plan || s.Name != name {
		return nil
	}
	return &s
}

// RemoveSent forgets that a shard was sent.
func (b *Folder) RemoveSent(name string) error {
	if err := b.Root.Remove(sentName + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func isSent(name string) bool {
	return strings.HasPrefix(name, sentName) && reserved(strings.TrimPrefix(name, sentName))
}

// Clear removes the folder: all that was in it is elsewhere.
func (b *Folder) Clear() error {
	b.kept = false
	return b.Remove()
}
