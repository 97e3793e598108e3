module dpp.dev/support/pause

go 1.25.0
