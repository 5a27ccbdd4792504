package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"wreg/ingest/remote"
	"wreg/registry/tensor"
)

// refusal is a way in which the hub says no: what it looks like, and what to say and type then.
type refusal struct {
	is  func(e *remote.StatusError) bool
	say func(r *Repo, e *remote.StatusError) string
}

func coded(code string) func(*remote.StatusError) bool {
	return func(e *remote.StatusError) bool { return e.Code == code }
}

// refusals are tried in order.
var refusals = []refusal{
	{func(e *remote.StatusError) bool {
		return e.Status == http.StatusUnauthorized && strings.HasPrefix(e.Message, "Invalid credentials")
	}, func(r *Repo, _ *remote.StatusError) string {
		if r.login.From == "" {
			return "the hub refuses the credentials; log in with: hf auth login"
		}
		return fmt.Sprintf("the hub does not take the token from %s; log in again with: hf auth login", r.login.From)
	}},
	{func(e *remote.StatusError) bool {
		return strings.HasPrefix(e.Message, "Access to this resource is disabled")
	}, func(*Repo, *remote.StatusError) string {
		return "the hub has disabled this repository"
	}},
	{coded("GatedRepo"), func(r *Repo, e *remote.StatusError) string {
		page := r.login.Endpoint + "/" + r.name.ID
		if r.login.From == "" {
			return fmt.Sprintf("its files are given out to those who asked for access, and %s: ask at %s, then type: hf auth login", r.login.none, page)
		}
		return fmt.Sprintf("its files are given out to those who asked for access, which %s does not have: ask at %s", tokenFrom(r.login), page)
	}},
	{func(e *remote.StatusError) bool {
		return e.Code == "RepoNotFound" || e.Code == "" && e.Status == http.StatusUnauthorized
	}, func(r *Repo, e *remote.StatusError) string {
		if r.login.From == "" {
			return fmt.Sprintf("%s has no such model, or it is private, and %s; if it is private type: hf auth login", r.login.Endpoint, r.login.none)
		}
		return fmt.Sprintf("%s has no such model, or a private one that %s may not see", r.login.Endpoint, tokenFrom(r.login))
	}},
}

func tokenFrom(l *Login) string { return "the account of the token from " + l.From }

// refusedError is a refusal in words; what was answered is its cause.
type refusedError struct {
	text  string
	cause error
}

func (e *refusedError) Error() string { return e.text }

func (e *refusedError) Unwrap() error { return e.cause }

// explain says of an answer that is a refusal what it means and what to do; any other error stays as it is.
func (r *Repo) explain(ctx context.Context, err error) error {
	status, ok := errors.AsType[*remote.StatusError](err)
	if _, said := errors.AsType[*refusedError](err); !ok || said || status.URL != "" && originOf(status.URL) != originOf(r.login.Endpoint) {
		return err
	}
	if status.Code == "RevisionNotFound" && r.list != nil {
		return &refusedError{fmt.Sprintf("%s: the hub listed commit %s and now says that there is none; ingest it again", r.name, r.list.commit), err}
	} else if status.Code == "RevisionNotFound" {
		return &refusedError{fmt.Sprintf("%s: there is no revision %q of it%s", r.name, r.revision(), r.nearest(ctx)), err}
	}
	i := slices.IndexFunc(refusals, func(f refusal) bool { return f.is(status) })
	if i < 0 {
		if status.Status == http.StatusNotFound && r.list == nil {
			return &refusedError{fmt.Sprintf("%s: %s has no such model (HTTP 404)", r.name, r.login.Endpoint), err}
		}
		return err
	}
	return &refusedError{fmt.Sprintf("%s: %s (HTTP %d)", r.name, refusals[i].say(r, status), status.Status), err}
}

func (r *Repo) revision() string {
	if r.name.Revision == "" {
		return "main"
	}
	return r.name.Revision
}

// maxRefs bounds the bytes of the list of branches and tags.
const maxRefs = 8 << 20

// nearest asks for the revisions that there are and names those that are spelled alike, else some.
func (r *Repo) nearest(ctx context.Context) string {
	type ref struct {
		Name string `json:"name"`
		Ref  string `json:"ref"`
	}
	var refs struct {
		Branches, Tags, Converts []ref
	}
	if _, err := r.client.JSON(ctx, remote.Request{URL: r.api("refs"), Most: maxRefs}, &refs); err != nil {
		return ""
	}
	var names []string
	for _, f := range slices.Concat(refs.Branches, refs.Tags) {
		names = append(names, f.Name)
	}
	for _, f := range refs.Converts {
		names = append(names, f.Ref)
	}
	if near := didYouMean(r.revision(), names); near != "" || len(names) == 0 {
		return near
	}
	const shown = 10
	text := "; there are " + strings.Join(quoted(names[:min(len(names), shown)]), ", ")
	if more := len(names) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// didYouMean names what is spelled like a word, "" when nothing is.
func didYouMean(word string, names []string) string {
	const most = 3
	limit := 1 + len(word)/4
	near := tensor.Nearest(names, most, func(name string) int {
		if d := tensor.EditDistance(strings.ToLower(word), strings.ToLower(name)); d <= limit {
			return d
		}
		return -1
	})
	if len(near) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(quoted(near), " or ") + "?"
}

func quoted(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = fmt.Sprintf("%.100q", name)
	}
	return out
}
