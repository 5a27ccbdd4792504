package remote

import (
	"context"
	"errors"
	"io"
)

// DefaultSlots is how many requests are under way at once.
const DefaultSlots = 32

// MaxAnswer bounds the body of an answer whose request says nothing else.
const MaxAnswer = 16 << 20

var errUnbuilt = errors.New("ingest/remote: not built yet")

type Patience struct{}
type Client struct{}
type File struct{}
type StatusError struct {
	Status        int
	Code, Message string
	URL           string
	Body          []byte
}

func (e *StatusError) Error() string { return e.Message }

// ErrChanged is what a file that is not the declared one any more gives.
var ErrChanged = errors.New("it changed")

func Origin(rawURL string) string { return "" }

func New(o Options) *Client                                          { return &Client{} }
func (c *Client) Close()                                             {}
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) { return nil, errUnbuilt }
func (c *Client) JSON(ctx context.Context, r Request, into any) (*Answer, error) {
	return nil, errUnbuilt
}
func (c *Client) Open(ctx context.Context, s Source) *File                        { return &File{} }
func (f *File) ReadAt(p []byte, off int64) (int, error)                           { return 0, errUnbuilt }
func (f *File) Prefetch()                                                         {}
func (f *File) Facts() (Facts, error)                                             { return Facts{}, errUnbuilt }
func (f *File) Size() int64                                                       { return -1 }
func (f *File) Close() error                                                      { return nil }
func (f *File) Stream(ctx context.Context, off, n int64, ahead int) io.ReadCloser { return nil }
func (f *File) Verified(ctx context.Context, ahead int, pass func(io.Reader) error) error {
	return errUnbuilt
}
