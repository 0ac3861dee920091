package etcdstore

import (
	"context"
	"errors"
	"strings"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"berth/lease"
)

// user logs in to etcd and adds its token to each call. The client can do the same, but
// when etcd has forgotten a login, after a restart, the client calls itself without end
// to renew it.
type user struct {
	name, password string
	mu             sync.Mutex
	token          string
}

// GetRequestMetadata implements credentials.PerRPCCredentials. An expired token must not
// come with the request for a new one.
func (u *user) GetRequestMetadata(_ context.Context, uri ...string) (map[string]string, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.token == "" || len(uri) > 0 && strings.HasSuffix(uri[0], "etcdserverpb.Auth") {
		return nil, nil
	}
	return map[string]string{rpctypes.TokenFieldNameGRPC: u.token}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials. The URL says whether
// the network is trusted.
func (u *user) RequireTransportSecurity() bool { return false }

// logIn gets a token.
func (s *Store) logIn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	resp, err := pb.NewAuthClient(s.client.ActiveConnection()).Authenticate(ctx, &pb.AuthenticateRequest{Name: s.user.name, Password: s.user.password})
	err = rpctypes.Error(err)
	switch {
	case errors.Is(err, rpctypes.ErrAuthNotEnabled):
		return nil // authentication is off
	case err != nil:
		return s.classify(err)
	}
	s.user.mu.Lock()
	defer s.user.mu.Unlock()
	s.user.token = resp.Token
	return nil
}

// loggedOut reports whether etcd no longer knows our token.
func loggedOut(err error) bool {
	err = rpctypes.Error(err)
	return errors.Is(err, rpctypes.ErrInvalidAuthToken) || errors.Is(err, rpctypes.ErrAuthOldRevision)
}

// logInAgain turns the error of a call with a forgotten token into one that is retried.
func (s *Store) logInAgain(ctx context.Context, err error) error {
	if s.user == nil || !loggedOut(err) {
		return err
	}
	if lerr := s.logIn(ctx); lerr != nil {
		return lerr
	}
	return &lease.UnreachableError{Store: s.name, Answers: true, Err: errors.New("it had forgotten who we are")}
}
