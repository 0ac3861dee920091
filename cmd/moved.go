package cmd

import (
	"berth/cmd/text"
	"berth/cmd/view"
)

var nameOf = view.UserName
var oneLine = text.OneLine
var plural = text.Plural
var short = text.Duration
var shorten = text.Shorten
var waitingLine = view.WaitingLine
