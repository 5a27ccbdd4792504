package oci

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"

	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"wreg/ingest/remote"
)

// asked stands for a token in requests that may have one: which, the registry says when it is asked.
const asked = "of-the-registry"

// Connect makes a client of a registry: of it alone is the login that docker has used, and only where it asks
// for one.
func Connect(o remote.Options, n Name, actions ...string) *remote.Client {
	home := remote.Origin(n.base())
	o.Token = func(origin string) string {
		if origin == home {
			return asked
		}
		return ""
	}
	o.Around = func(base http.RoundTripper) http.RoundTripper { return newLogin(base, n, actions) }
	return remote.New(o)
}

// login answers the challenges of a registry.
type login struct {
	base   http.RoundTripper
	client *auth.Client
	scope  func(context.Context) context.Context
}

func newLogin(base http.RoundTripper, n Name, actions []string) *login {
	ref := registry.Reference{Registry: n.Host, Repository: n.Repo}
	l := &login{base: base, scope: func(ctx context.Context) context.Context { return auth.AppendRepositoryScope(ctx, ref, actions...) }}
	l.client = &auth.Client{
		Client: &http.Client{Transport: base, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		Cache:  auth.NewCache(), Credential: remembered(credential), ClientID: "wreg",
	}
	return l
}

// credential is what docker's configuration has for a registry: the program that it names for that is run.
func credential(ctx context.Context, host string) (auth.Credential, error) {
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return auth.EmptyCredential, err
	}
	return credentials.Credential(store)(ctx, host)
}

// remembered asks once for each host: a program may ask people, who take longer than a server may.
func remembered(ask auth.CredentialFunc) auth.CredentialFunc {
	type answer struct {
		auth.Credential
		error
	}
	var hosts sync.Map
	return func(ctx context.Context, host string) (auth.Credential, error) {
		once, _ := hosts.LoadOrStore(host, sync.OnceValue(func() answer {
			c, err := ask(context.WithoutCancel(ctx), host)
			return answer{c, err}
		}))
		a := once.(func() answer)()
		return a.Credential, a.error
	}
}

// RoundTrip sends a request, logged in where it may be.
func (l *login) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("Authorization") != "Bearer "+asked {
		return l.base.RoundTrip(req)
	}
	ctx := l.scope(req.Context())
	out := req.Clone(ctx)
	out.Header.Del("Authorization")
	res, err := l.client.Do(out)
	if network, ok := errors.AsType[*url.Error](err); err == nil || ok || ctx.Err() != nil {
		if ok {
			err = network.Err
		}
		return res, err
	}
	// The login failed: that is an answer, and to ask again is no use.
	return &http.Response{
		Status: "401 Unauthorized", StatusCode: http.StatusUnauthorized, Proto: req.Proto, ProtoMajor: req.ProtoMajor, ProtoMinor: req.ProtoMinor,
		Header: http.Header{"X-Error-Message": {err.Error()}}, Body: http.NoBody, Request: req,
	}, nil
}
