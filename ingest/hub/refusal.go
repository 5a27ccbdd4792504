package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"wreg/ingest/place"
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
		page := r.page()
		if r.login.From == "" {
			return fmt.Sprintf("its files are given out to those who asked for access, and %s: ask at %s, then type: hf auth login", r.login.none, page)
		}
		return fmt.Sprintf("its files are given out to those who asked for access, which %s does not have: ask at %s", tokenFrom(r.login), page)
	}},
	{func(e *remote.StatusError) bool {
		return e.Status == http.StatusForbidden && e.Code == ""
	}, func(r *Repo, _ *remote.StatusError) string {
		return fmt.Sprintf("it is refused without a reason, by %s or a proxy in between; %s in a browser may show one", r.login.Endpoint, r.page())
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

// page is what a browser shows of the repository.
func (r *Repo) page() string { return r.login.Endpoint + "/" + r.name.ID }

func tokenFrom(l *Login) string { return "the account of the token from " + l.From }

// explain says of an answer that is a refusal what it means and what to do. What remote says of any other is
// enough.
func (r *Repo) explain(ctx context.Context, err error) error {
	if _, said := errors.AsType[*place.Error](err); said || ctx.Err() != nil {
		return err
	}
	text := err.Error()
	what := r.name.String()
	given, _ := errors.AsType[*remote.Error](err)
	if given != nil {
		what = given.Name
	}
	status, ok := errors.AsType[*remote.StatusError](err)
	if !ok || status.URL != "" && originOf(status.URL) != originOf(r.login.Endpoint) {
		return &place.Error{Text: text, Cause: err}
	}
	i := slices.IndexFunc(refusals, func(f refusal) bool { return f.is(status) })
	switch {
	case status.Code == "RevisionNotFound" && r.list != nil:
		text = fmt.Sprintf("%s: the hub listed commit %s and now says that there is none; ingest it again", what, r.list.commit)
	case status.Code == "RevisionNotFound":
		text = fmt.Sprintf("%s: there is no revision %q of it%s", what, r.revision(), r.nearest(ctx))
	case status.Status == http.StatusTooManyRequests && given != nil:
		limited := *given
		limited.Advice = "log in for a higher limit, with hf auth login, or run it again then"
		if r.login.From != "" {
			limited.Advice = tokenFrom(r.login) + " has reached its limit: run it again then"
		}
		text = limited.Error()
	case i >= 0:
		text = fmt.Sprintf("%s: %s (HTTP %d)", what, refusals[i].say(r, status), status.Status)
	case status.Status == http.StatusNotFound && r.list == nil:
		text = fmt.Sprintf("%s: %s%s has no such model (HTTP 404)", what, r.login.Endpoint, r.chosen())
	case status.Status == http.StatusNotFound:
		text = fmt.Sprintf("%s: the hub lists it at commit %.10s, and answers that it is not there (HTTP 404); ingest it again, or look at %s", what, r.list.commit, r.page())
	}
	return &place.Error{Text: text, Cause: err}
}

// chosen reminds of what says where the hub is, where that is another one.
func (r *Repo) chosen() string {
	if r.login.Endpoint == site {
		return ""
	}
	return " (HF_ENDPOINT)"
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
	if _, err := r.client.JSON(ctx, remote.Request{Name: r.name.String(), URL: r.api("refs"), Most: maxRefs}, &refs); err != nil {
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
