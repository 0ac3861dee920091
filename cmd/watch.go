package cmd

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"berth/cmd/text"
	"berth/cmd/tty"
	"berth/cmd/view"
)

const (
	// watchEvery is the longest time between two reads: times change, and some changes
	// cause no event.
	watchEvery = time.Second
	// watchPause is the shortest time between two reads, whatever happens in the pools.
	watchPause = 250 * time.Millisecond
)

// watch shows the pools until it is interrupted. If the first read fails, it returns the error;
// later errors are printed.
func (l *lister) watch() error {
	if _, err := l.store.List(context.Background(), l.pools...); err != nil {
		return err
	}
	changes, err := l.store.Watch(context.Background(), l.pools...)
	if err != nil { // what has changed is then seen at the next read
		changes = nil
	}
	if !l.json && tty.IsTerminal(1) && os.Getenv("TERM") != "dumb" && os.Getenv("TERM") != "" {
		return l.watchScreen(changes)
	}
	return l.watchStream(changes)
}

// watchStream prints the pools after each change.
func (l *lister) watchStream(changes <-chan struct{}) error {
	l.store.HandleSuspend()
	last, trouble := "", ""
	for {
		pools, err := l.read(context.Background())
		if err == nil {
			trouble = ""
		} else if trouble != err.Error() {
			trouble = err.Error()
			l.say.errorf("%v", err)
		}
		if now := view.Essence(pools); now != last && (err == nil || len(pools) > 0) {
			if err := l.print(pools, last != ""); err != nil {
				return err
			}
			last = now
		}
		time.Sleep(watchPause)
		select {
		case <-changes:
		case <-time.After(watchEvery - watchPause):
		}
	}
}

func (l *lister) print(pools []view.Pool, again bool) error {
	if l.json {
		return view.WriteJSON(l.out, pools)
	}
	if again {
		if _, err := io.WriteString(l.out, "\n"); err != nil {
			return err
		}
	}
	columns, _ := tty.WindowSize(1)
	return view.Print(l.out, view.Flat(l.table(pools, columns)), tty.IsTerminal(1) && os.Getenv("NO_COLOR") == "")
}

var watchSignals = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, tty.TSTP, tty.CONT, tty.WINCH}

// screenWatch keeps one screen up to date. A frozen process or a server may hold up a read, so
// reads run on a goroutine of their own, and signals are always served.
type screenWatch struct {
	*lister
	screen  view.Screen
	signals *tty.Signals
	ctl     tty.Suspension
	read    chan readResult
	cancel  context.CancelFunc // ends the read that is running; nil: none is
	stale   bool               // there may be something new
	pause   <-chan time.Time   // no read begins before that
	last    readResult
}

// readResult is the result of a read.
type readResult struct {
	pools []view.Pool
	err   error
}

func (l *lister) watchScreen(changes <-chan struct{}) error {
	w := &screenWatch{
		lister: l, screen: view.Screen{W: l.out, Color: os.Getenv("NO_COLOR") == ""},
		signals: tty.NewSignals(), read: make(chan readResult, 1), stale: true,
	}
	w.signals.Start(nil, watchSignals, nil)
	w.signals.Ready()
	defer w.screen.Leave()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		w.startRead()
		var err error
		select {
		case sig := <-w.signals.Next():
			err = w.heed(sig)
		case seen := <-w.read:
			w.cancel()
			w.cancel = nil
			if w.stale = errors.Is(seen.err, context.Canceled); !w.stale { // else this process was suspended
				w.last = seen
				err = w.draw()
			}
		case <-w.pause:
			w.pause = nil
		case <-changes:
			w.stale = true
		case <-tick.C:
			w.stale = true
		}
		if err != nil {
			return err
		}
	}
}

// startRead begins to read the pools if it is time to.
func (w *screenWatch) startRead() {
	if !w.stale || w.pause != nil || w.cancel != nil {
		return
	}
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	w.stale, w.pause = false, time.After(watchPause)
	go func() {
		pools, err := w.lister.read(ctx)
		w.read <- readResult{pools, err}
	}()
}

func (w *screenWatch) draw() error {
	columns, rows := tty.WindowSize(1)
	if !tty.CanDraw(1) || w.last.pools == nil && w.last.err == nil {
		return nil
	}
	var blocks []view.Block
	if err := w.last.err; err != nil {
		sorry := view.Block{}
		for _, t := range text.Wrapped(text.OneLine("cannot read: "+err.Error()), columns) {
			sorry.Head = append(sorry.Head, view.TextLine{Text: t, Color: view.ColorOdd, To: len(t)})
		}
		blocks = append(blocks, sorry)
	}
	if w.last.err == nil || len(w.last.pools) > 0 {
		blocks = append(blocks, w.table(w.last.pools, columns)...)
	}
	return w.screen.Draw(view.FitRows(blocks, rows), columns)
}

// heed handles a signal. An error ends the watch.
func (w *screenWatch) heed(sig syscall.Signal) error {
	if ended := w.ctl.Follow(sig, w.signals.Next(), w.suspend); ended != 0 {
		return tty.SignalError{Signal: ended}
	}
	if tty.ClassOf(sig, tty.Alone) == tty.Resume { // the screen shows what others have written
		w.screen.Entered, w.stale = false, true
	}
	return w.draw()
}

func (w *screenWatch) suspend() {
	w.screen.Leave()
	if w.cancel != nil {
		w.cancel() // what holds up the read must not hold up the suspend
	}
	w.store.Suspend()
}
