package main

import (
	"strings"
	"unsafe"
)

const MP = 5

// program counters of a berth
const (
	START = iota
	LOCK  // waits for the pool's lock; mode says what for
	NOTES // lstat own ticket
	TURN
	SCAN
	ANNOUNCE // sweep: change++ saved
	SWEEP    // unlink of a dead ticket
	SCANNED
	CHECK
	CHECKING // slot vi's lock held by our check
	DECIDE
	GRANT
	WLEASE
	REMOVE
	REMSAVE
	UNLINK
	TUNLOCK
	SAVE
	UNLOCK
	JSAVE
	JCREATE
	JTRYLOCK
	JFILL
	WAIT
	FORK
	EXECVE
	RUNWAIT
	RLMARK
	RLUNLOCK
	RLCLOSE
	RLWAKE
	RLHINT
	RLCHECK
	RLCHECKING
	SANOTE
	SAUNLOCK
	SASTOP
	RTLOCK
	RTNOTE
	SETWAKE
	SETWRITE
	KEEP   // the keeper of a lease
	KCHECK // it is to give the lease back: is that adopted?
	AFIND  // an adopter looks for the lease
	ALOCK
	AWRITE
	AFORK
	ARUN
	AWAIT
	ACLEAR
	AUNLOCK
	AWAKE
	ACLOSE
	DYING
	GONE
)

var pcName = strings.Split("START LOCK NOTES TURN SCAN ANNOUNCE SWEEP SCANNED CHECK CHECKING DECIDE GRANT WLEASE REMOVE REMSAVE UNLINK TUNLOCK SAVE UNLOCK JSAVE JCREATE JTRYLOCK JFILL WAIT FORK EXECVE RUNWAIT RLMARK RLUNLOCK RLCLOSE RLWAKE RLHINT RLCHECK RLCHECKING SANOTE SAUNLOCK SASTOP RTLOCK RTNOTE SETWAKE SETWRITE KEEP KCHECK AFIND ALOCK AWRITE AFORK ARUN AWAIT ACLEAR AUNLOCK AWAKE ACLOSE DYING GONE", " ")

const (
	mNew = iota
	mTry
	mJoin
	mLeave
	mRel
	mAside
	mReturn
	mSet
	mBack // a keeper gives its lease back
	mAdopt
)

var modeName = []string{"new", "try", "join", "leave", "release", "aside", "return", "set", "back", "adopt"}

// flags
const (
	fStopped = 1 << iota
	fKnown
	fPassed
	fCheckFrozen
	fWatch
	fDeferred // head.close is still to come
	fOwn      // own ticket's flock is held
	fFile     // own ticket's file exists
	fNoted    // another noted: frozenPassed (aside without Back)
	fPre      // child between fork and exec: holds a copy of the ticket's lock
	fSwept
	fPassedNow // of scanLine(): it passed a frozen one
	fScanAll   // scan.all
	fCheckAll  // this check covers all slots
	fSecond    // of scanLine(): 2nd pass of a newcomer
	fGot
)

type Proc struct {
	f                      uint16
	pc, mode               uint8
	seq                    uint8 // ticket number, 0 none
	change, pred, some     uint8
	checks, events         uint8
	blockedOn, bstate      uint8
	has, childHas, closing uint8
	child                  uint8 // 0 none 1 runs 2 dying 3 gone 5 daemon left 6 daemon dying
	it, vi, stage, tries   uint8
	bpred                  uint8
	asideSelf              uint8    // 1: its own aside note stands (stoodAside)
	released               uint8    // slots found marked free and locked
	inUse                  uint8    // slots found in use by the last check, whose processes are not followed yet
	inUseRec               [2]uint8 // whose they were; +16: without a lock
	follows, over          [2]uint8 // followed by pidfd: p+1 a berth, 16+p+1 a child; leases known to be over
}

type G struct {
	lock                              uint8 // pool lock's holder+1
	sChange, sLine, sSeq, sTok        uint8 // index as saved
	sLim                              [2]uint8
	mChange, mLine, mSeq, mTok        uint8
	mLim                              [2]uint8
	owner                             [2]uint8 // slot's flock: 0, p+1 hold, 16+p+1 check
	rec                               [2]uint8 // 0 free, p+1
	shared                            [2]uint8 // a bit for each process that has locked the slot for sharing
	by                                [2]uint8 // the adopter in the record, p+1
	byChild                           [2]uint8 // 1: its child is in the record
	own                               uint8    // pool's own limit, 255 none
	kills, stops, leaves, sets, slows uint8
	stopDuring                        uint8
	lastTok                           uint8
	lateClose                         uint8
}

type S struct {
	g G
	p [MP]Proc
}

const SZ = int(unsafe.Sizeof(S{}))

func (s *S) bytes() []byte { return (*[SZ]byte)(unsafe.Pointer(s))[:] }

type Cfg struct {
	P, N       int
	weight     [MP]int
	ask        [MP]int // -n, 0: none
	exec       [MP]bool
	closer     [MP]bool
	daemon     [MP]bool
	prio       [MP]int
	isSet      [MP]bool // this process is `berth limit`
	keeper     [MP]bool
	adopter    [MP]bool
	setTo      int
	own0       int
	kills      int
	stops      int
	leaves     int
	slows      int
	asides     int
	strictTime bool // the last check after an event comes after the kernel has finished closing
	again      int
	mut        string
	fallback   int
	lifo       bool
	held       int
}

var c Cfg

var again uint8

const noLimit = 200

func mut(x string) bool { return c.mut != "" && strings.Contains("+"+c.mut+"+", "+"+x+"+") }
