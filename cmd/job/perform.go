package job

import (
	"context"
	"syscall"
	"time"

	"berth/lease"
)

// perform does what every deed means.
func (l *loop) perform(f effect) { performs[f.do](l, f) }

var performs = [deeds]func(*loop, effect){
	setTimer:    func(l *loop, f effect) { l.due[f.timer] = time.Now().Add(f.after) },
	bind:        func(l *loop, _ effect) { l.bind() },
	renew:       func(l *loop, _ effect) { l.sessions.Renew() },
	forward:     func(l *loop, f effect) { l.forward(f.signal) },
	suspendSelf: func(l *loop, _ effect) { l.suspend() },
	endTree: func(l *loop, f effect) {
		go func() { l.tree <- l.child.End(context.Background(), f.signal, f.after) }()
	},
	killTree: func(l *loop, f effect) {
		time.AfterFunc(f.after, func() { _ = l.child.End(context.Background(), syscall.SIGKILL, 0) })
	},
	waitTree: func(l *loop, _ effect) {
		go func() { l.tree <- l.child.WaitTree(context.Background()) }()
	},
	nameLeftovers: func(l *loop, f effect) { // on another goroutine: reading all processes takes long on a busy machine
		time.AfterFunc(f.after, func() { l.leftovers <- l.child.Left() })
	},
	report:      func(l *loop, f effect) { l.report(f.record) },
	tryRelease:  func(l *loop, _ effect) { l.tryRelease() },
	tellAdopter: func(l *loop, f effect) { l.tellAdopter(*f.stop) },
}

func (l *loop) bind() {
	if l.life.Kept {
		l.sessions.Keep()
		return
	}
	for _, s := range l.sessions {
		if err := s.Bind(l.ctx, lease.Process(l.child.ID())); err != nil {
			l.report(Record{Kind: NotRecorded, Lease: s.Lease().ID, Err: err})
		}
	}
}

func (l *loop) forward(sig syscall.Signal) {
	if err := l.child.Signal(sig); err != nil {
		l.report(Record{Kind: NotForwarded, Signal: sig, Err: err})
	}
}

func (l *loop) suspend() {
	if err := l.sessions.Suspend(l.in.Suspend); err != nil {
		l.report(Record{Kind: NotExtended, Err: err})
	}
}
