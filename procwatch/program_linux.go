package procwatch

// thisProgram leads to the program that this process runs, also after an update has removed or
// replaced its file.
func thisProgram() string { return "/proc/self/exe" }
