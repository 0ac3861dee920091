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

// user logs in to etcd, and shows what it got for that with each call. The client can
// do the same, but once etcd has forgotten a login, after a restart, it calls itself
// without end to get another one.
type user struct {
	name, password string
	mu             sync.Mutex
	token          string
}

// GetRequestMetadata implements credentials.PerRPCCredentials. A login that is over
// must not come with the request for a new one.
func (u *user) GetRequestMetadata(_ context.Context, uri ...string) (map[string]string, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.token == "" || len(uri) > 0 && strings.HasSuffix(uri[0], "etcdserverpb.Auth") {
		return nil, nil
	}
	return map[string]string{rpctypes.TokenFieldNameGRPC: u.token}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: whether a network
// is trusted is said by the URL.
func (u *user) RequireTransportSecurity() bool { return false }

// logIn gets a login.
func (s *Store) logIn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	resp, err := pb.NewAuthClient(s.client.ActiveConnection()).Authenticate(ctx, &pb.AuthenticateRequest{Name: s.user.name, Password: s.user.password})
	err = rpctypes.Error(err)
	switch {
	case errors.Is(err, rpctypes.ErrAuthNotEnabled):
		return nil // it asks nobody who he is
	case err != nil:
		return s.classify(err)
	}
	s.user.mu.Lock()
	defer s.user.mu.Unlock()
	s.user.token = resp.Token
	return nil
}

// loggedOut reports whether etcd does not know our login any more.
func loggedOut(err error) bool {
	err = rpctypes.Error(err)
	return errors.Is(err, rpctypes.ErrInvalidAuthToken) || errors.Is(err, rpctypes.ErrAuthOldRevision)
}

// logInAgain is what to do about an error of a call: after a new login it may be made again.
func (s *Store) logInAgain(ctx context.Context, err error) error {
	if s.user == nil || !loggedOut(err) {
		return err
	}
	if lerr := s.logIn(ctx); lerr != nil {
		return lerr
	}
	return &lease.UnreachableError{Store: s.name, Answers: true, Err: errors.New("it had forgotten who we are")}
}
