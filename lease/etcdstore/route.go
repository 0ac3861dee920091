package etcdstore

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// etcd's client has one connection for all members. Interceptors send its calls to our
// members instead, so it never connects. Services that are not used here stay with the
// client.

// routed are the services whose calls go to any member.
var routed = []string{"/etcdserverpb.KV/", "/etcdserverpb.Lease/", "/etcdserverpb.Auth/Authenticate", "/etcdserverpb.Watch/"}

func isRouted(method string) bool {
	for _, r := range routed {
		if strings.HasPrefix(method, r) {
			return true
		}
	}
	return false
}

// interceptors send the calls of the client's own connection to our members. The client's
// other connections are each for one member.
func (s *Store) interceptors() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if !isRouted(method) || cc != s.client.ActiveConnection() {
				return invoke(ctx, method, req, reply, cc, opts...)
			}
			return s.members.invoke(ctx, method, req, reply.(proto.Message))
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			if !isRouted(method) || cc != s.client.ActiveConnection() {
				return open(ctx, desc, cc, method, opts...)
			}
			return s.members.open(ctx, desc, method)
		}),
	}
}

// invoke ignores the client's options: some are places to write to, and several copies of
// the call may run at once.
func (ms *members) invoke(ctx context.Context, method string, req any, reply proto.Message) error {
	to := reply.ProtoReflect()
	got, err := hedged(ctx, ms, func(ctx context.Context, m *member) (proto.Message, error) {
		own := to.New().Interface()
		return own, m.conn.Invoke(ctx, method, req, own)
	})
	if err != nil {
		return err
	}
	got.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		to.Set(f, v)
		return true
	})
	return nil
}

// stream is a stream of a member that may hang. The stream alone cannot tell a silent
// member from one that has nothing to say.
type stream struct {
	grpc.ClientStream
	ms     *members
	m      *member
	caller context.Context
	cut    context.CancelFunc
	heard  atomic.Bool
}

// open opens a stream at one member. When it fails or is cut, the client opens another
// one from where it was.
func (ms *members) open(ctx context.Context, desc *grpc.StreamDesc, method string) (grpc.ClientStream, error) {
	s := &stream{ms: ms, m: ms.next(nil), caller: ctx}
	own, cut := context.WithCancel(ctx)
	s.cut = cut
	ms.mu.Lock()
	s.m.streams[s] = true
	ms.mu.Unlock()
	context.AfterFunc(own, func() {
		ms.mu.Lock()
		defer ms.mu.Unlock()
		delete(s.m.streams, s)
	})
	var err error
	if s.ClientStream, err = s.m.conn.NewStream(own, desc, method); err != nil {
		return nil, s.failed(err)
	}
	return s, nil
}

// RecvMsg implements grpc.ClientStream.
func (s *stream) RecvMsg(m any) error {
	if err := s.ClientStream.RecvMsg(m); err != nil {
		return s.failed(err)
	}
	s.heard.Store(true)
	return nil
}

// failed is the error of an ended stream. When we cut it, the error has to look like an
// outage: after other errors the client does not retry.
func (s *stream) failed(err error) error {
	s.cut()
	if cancelled(err) && s.caller.Err() == nil {
		return status.Error(codes.Unavailable, errNoAnswer.Error())
	}
	if retryable(err) {
		s.ms.mu.Lock()
		s.m.avoidUntil = time.Now().Add(avoidFor)
		s.ms.mu.Unlock()
	}
	return err
}
