package text

import (
	"os"
	"os/user"
	"strconv"
)

// UserName is the name of a user, or the number if it has none here.
func UserName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// Me is the user of this process and its machine.
func Me() string { return UserName(os.Getuid()) + "@" + Host() }

// Host is the name of this machine, "" if it has none.
func Host() string {
	name, _ := os.Hostname()
	return name
}
