package bucket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
)

// account is what environment, profile and machine say of who asks, and where.
type account struct {
	region   string
	endpoint *url.URL // nil: Amazon's own
	kind     string   // of Amazon's own host: "s3", "s3-fips", "s3.dualstack"
	provider aws.CredentialsProvider
	machine  bool // nobody named credentials: only the machine itself may have some

	mu   sync.Mutex
	none error // why requests are not signed
}

// machineTime is how long a machine is asked for credentials that nobody spoke of.
const machineTime = 2 * time.Second

// readAccount reads the environment and the profile, as every tool of AWS does. Nothing is asked yet.
func readAccount(ctx context.Context) (*account, error) {
	c, err := config.LoadDefaultConfig(ctx, config.WithLogConfigurationWarnings(false), config.WithLogger(logging.Nop{}))
	if err != nil {
		return nil, fmt.Errorf("what AWS_PROFILE, AWS_CONFIG_FILE and the like say cannot be used: %w", err)
	}
	a := &account{region: cmp.Or(c.Region, "us-east-1"), kind: "s3", provider: c.Credentials}
	if s, ok := c.Credentials.(aws.CredentialProviderSource); ok {
		a.machine = slices.Equal(s.ProviderSources(), []aws.CredentialSource{aws.CredentialSourceIMDS})
	}
	if !regionForm.MatchString(a.region) {
		return nil, fmt.Errorf("%.100q is not the name of a region; see AWS_REGION and the profile", a.region)
	}
	var fips, dual bool
	ignored, _, _ := config.GetIgnoreConfiguredEndpoints(ctx, c.ConfigSources)
	text := aws.ToString(c.BaseEndpoint)
	for _, source := range slices.Backward(c.ConfigSources) {
		if s, ok := source.(interface {
			GetServiceBaseEndpoint(context.Context, string) (string, bool, error)
		}); ok && !ignored {
			if own, found, err := s.GetServiceBaseEndpoint(ctx, "S3"); found && err == nil {
				text = own
			}
		}
		if s, ok := source.(interface {
			GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error)
		}); ok {
			if v, found, _ := s.GetUseFIPSEndpoint(ctx); found {
				fips = v == aws.FIPSEndpointStateEnabled
			}
		}
		if s, ok := source.(interface {
			GetUseDualStackEndpoint(context.Context) (aws.DualStackEndpointState, bool, error)
		}); ok {
			if v, found, _ := s.GetUseDualStackEndpoint(ctx); found {
				dual = v == aws.DualStackEndpointStateEnabled
			}
		}
	}
	if fips {
		a.kind += "-fips"
	}
	if dual {
		a.kind += ".dualstack"
	}
	if text == "" {
		return a, nil
	}
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or the profile name the endpoint %.200q: want https://HOST, or http://HOST for one without TLS", text)
	}
	a.endpoint = u
	return a, nil
}

// credentials are what requests are signed with, nil where there are none: then they are anonymous, as a
// public bucket takes them.
func (a *account) credentials(ctx context.Context) (*aws.Credentials, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.none != nil {
		return nil, nil
	}
	if a.provider == nil {
		a.none = errors.New("no credentials are set")
		return nil, nil
	}
	within := ctx
	if a.machine {
		var stop context.CancelFunc
		within, stop = context.WithTimeout(ctx, machineTime)
		defer stop()
	}
	c, err := a.provider.Retrieve(within)
	if err == nil {
		return &c, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if a.machine {
		a.none = errors.New("there are no credentials in the environment or a profile, and this machine has none of its own")
		return nil, nil
	}
	return nil, &credentialsError{err}
}

// credentialsError is that no credentials were to be had where the environment or a profile names some.
type credentialsError struct{ cause error }

func (e *credentialsError) Error() string {
	text := e.cause.Error()
	advice := "log in again, or see AWS_PROFILE"
	if strings.Contains(strings.ToLower(text), "sso") {
		advice = "type: aws sso login"
	}
	return fmt.Sprintf("there are no credentials for S3: %.300s; %s", strings.ReplaceAll(text, "\n", " "), advice)
}

func (e *credentialsError) Unwrap() error { return e.cause }

// Final says that to ask again does not help.
func (e *credentialsError) Final() bool { return true }

// who says for people whose credentials requests are signed with.
func (a *account) who(ctx context.Context) string {
	c, err := a.credentials(ctx)
	if err != nil || c == nil {
		return "an anonymous request"
	}
	for _, s := range sources {
		if strings.Contains(c.Source, s.part) {
			return s.text
		}
	}
	return "the account of these credentials"
}

// sources are how the SDK calls where credentials come from, and how people do.
var sources = []struct{ part, text string }{
	{"EnvConfig", "the account of AWS_ACCESS_KEY_ID"},
	{"SharedConfig", "the account of the profile"},
	{"SSO", "the account of aws sso login"},
	{"WebIdentity", "the role of AWS_ROLE_ARN"},
	{"AssumeRole", "the profile's role"},
	{"EC2Role", "the role of this machine"},
	{"CredentialsEndpoint", "the role of this container"},
}
