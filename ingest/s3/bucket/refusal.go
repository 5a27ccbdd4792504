package bucket

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"wreg/ingest/remote"
)

// refusal is a way in which S3 says no, by its code, and what to say and type then. WHO asked and the BUCKET are put in.
type refusal struct{ codes, say string }

// refusals are tried in order; a code that is no word is a status for answers without one.
var refusals = []refusal{
	{"NoSuchBucket", "there is no bucket BUCKET here; see the name, and AWS_ENDPOINT_URL_S3 where it is not Amazon's"},
	{"NoSuchKey", "there is no such file"},
	{"NoSuchVersion", "there is no such version of it"},
	{"NoSuchUpload", "what was sent of it is not kept any more: the bucket's lifecycle removed it, or another process ended it; run it again"},
	{"ExpiredToken ExpiredTokenException TokenRefreshRequired", "the credentials have expired; log in again (aws sso login), or renew AWS_SESSION_TOKEN"},
	{"InvalidAccessKeyId InvalidToken InvalidClientTokenId XAdminUserNotFound", "this store does not know these credentials; see AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL_S3"},
	{"SignatureDoesNotMatch", "the secret does not belong to these credentials; see AWS_PROFILE and AWS_SECRET_ACCESS_KEY"},
	{"RequestTimeTooSkewed RequestExpired", "this machine's clock differs too much from the store's; set it"},
	{"AuthorizationHeaderMalformed PermanentRedirect IllegalLocationConstraintException 301", "the bucket lies in another region, and the store does not say in which; set AWS_REGION"},
	{"InvalidObjectState", "it lies in an archive; have it restored first (aws s3api restore-object)"},
	{"PreconditionFailed ConditionalRequestConflict 412 409", "another file is there now: somebody else wrote it"},
	{"EntityTooLarge", "the store takes no file of this size"},
	{"QuotaExceeded InsufficientCapacity XMinioStorageFull", "the store has no room for it"},
	{"KMS.", "the key that the bucket is encrypted with cannot be used by WHO"},
	{"AccessDenied AllAccessDisabled AccountProblem 403 401", "WHO may not do this with it; it needs the rights s3:ListBucket and s3:GetObject, and to publish s3:PutObject; see AWS_PROFILE"},
}

// RefusedError is a refusal in words; what was answered is its cause.
type RefusedError struct {
	Code  string // S3's, "" when it gave none
	text  string
	cause error
}

func (e *RefusedError) Error() string { return e.text }
func (e *RefusedError) Unwrap() error { return e.cause }

// Refused reports that an error is a refusal with one of these codes.
func Refused(err error, codes ...string) bool {
	r, ok := errors.AsType[*RefusedError](err)
	for _, c := range codes {
		if ok && r.Code == c {
			return true
		}
	}
	return false
}

// Explain says of an answer that is a refusal what it means and what to do; any other error stays as it is.
func (b *Bucket) Explain(ctx context.Context, key string, err error) error {
	return b.explain(ctx, key, key, err)
}

func (b *Bucket) explain(ctx context.Context, key, about string, err error) error {
	status, ok := errors.AsType[*remote.StatusError](err)
	if _, said := errors.AsType[*RefusedError](err); !ok || said || status.Status >= http.StatusInternalServerError || status.Status == http.StatusTooManyRequests {
		return err
	}
	code := refusalIn(status).Code
	at := Name{Bucket: b.Name, Key: about}
	if code == "" && status.Status == http.StatusNotFound {
		code = "NoSuchKey"
		if key == "" {
			code = "NoSuchBucket"
		}
	}
	number := fmt.Sprint(status.Status)
	for _, r := range refusals {
		for c := range strings.FieldsSeq(r.codes) {
			if code == c || code == "" && c == number || strings.HasSuffix(c, ".") && strings.HasPrefix(code, c) {
				text := strings.NewReplacer("WHO", b.account.who(ctx), "BUCKET", b.Name).Replace(r.say)
				if code != "" {
					number += " " + code
				}
				return &RefusedError{code, fmt.Sprintf("%s: %s (HTTP %s)", at, text, number), err}
			}
		}
	}
	if code == "" {
		return err
	}
	message := refusalIn(status).Message
	return &RefusedError{code, fmt.Sprintf("%s: the store refuses: %.200q (HTTP %d %.60q)", at, message, status.Status, code), err}
}
