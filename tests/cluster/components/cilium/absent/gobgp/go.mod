module github.com/osrg/gobgp/v4

go 1.25
