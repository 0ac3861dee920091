//go:build unix && !linux

package filestore

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func flockOwner(*os.File) int      { return 0 }
func hasFlockOn(*unix.Stat_t) bool { return false }
func networkFS(string) string      { return "" }
func (s *Store) checkMount() error { return nil }
func mountAt(string) mount         { return mount{} }

func sleepInKernel(d time.Duration) { time.Sleep(d) }
