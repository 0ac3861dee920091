//go:build unix && !linux

package filestore

import (
	"os"
	"time"
)

func flockOwner(*os.File) int { return 0 }
func holdsFlock(int) bool     { return false }
func networkFS(string) string { return "" }
func checkMount(string) error { return nil }

func sleepInKernel(d time.Duration) { time.Sleep(d) }
