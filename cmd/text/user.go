package text

import (
	"os"
	"os/user"
	"strconv"
)

func UserName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// Me is who types, for others to read.
func Me() string { return UserName(os.Getuid()) + "@" + Host() }

// Host is the name of this machine, "" if it has none.
func Host() string {
	name, _ := os.Hostname()
	return name
}
