package hub

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"wreg/ingest/remote"
)

// refusals are the ways in which the hub says no to who writes, in the order in which they are tried.
var refusals = []struct {
	is  func(e *remote.StatusError) bool
	say func(t *Target) string
}{
	{func(e *remote.StatusError) bool {
		return e.Status == http.StatusUnauthorized && !strings.HasPrefix(e.Code, "Gated")
	}, func(t *Target) string {
		return fmt.Sprintf("the hub does not take the token from %s; log in again with: hf auth login", t.login.From)
	}},
	{func(e *remote.StatusError) bool {
		return e.Status == http.StatusForbidden
	}, func(t *Target) string {
		return fmt.Sprintf("the token from %s may not write there; give it the right to at %s/settings/tokens", t.login.From, t.login.Endpoint)
	}},
	{func(e *remote.StatusError) bool {
		return e.Code == "RepoNotFound"
	}, func(t *Target) string {
		return fmt.Sprintf("%s has no such repository any more", t.login.Endpoint)
	}},
}

// refused is a refusal in words; what was answered is its cause.
type refused struct {
	text  string
	cause error
}

func (e *refused) Error() string { return e.text }
func (e *refused) Unwrap() error { return e.cause }

// explain says of the hub's own refusals what they mean and what to do. What others say stays as it is.
func (t *Target) explain(err error) error {
	status, ok := errors.AsType[*remote.StatusError](err)
	if _, said := errors.AsType[*refused](err); !ok || said || remote.Origin(status.URL) != remote.Origin(t.login.Endpoint) {
		return err
	}
	for _, r := range refusals {
		if r.is(status) {
			text := fmt.Sprintf("%s: %s (HTTP %d)", t.name, r.say(t), status.Status)
			if status.Message != "" {
				text += fmt.Sprintf("; it says: %.200q", status.Message)
			}
			return &refused{text, err}
		}
	}
	return fmt.Errorf("%s: %w", t.name, brief(err))
}

// brief is an answer that was given at once: it names its address itself.
func brief(err error) error {
	if e, ok := errors.AsType[*remote.Error](err); ok && e.Tries <= 1 && e.N == 0 {
		return e.Cause
	}
	return err
}
