# Enough of Vivado's Tcl to run package_ip.tcl: infers interfaces from the X_INTERFACE attributes of
# the top's Verilog, remembers properties, and refuses what Vivado would refuse.
set files {}
set log {}
set core {}
array set kinds {}
array set modes {}
array set parameters {}
array set properties {}

proc note {args} { lappend ::log $args }
proc create_project {args} { note project {*}$args }
proc add_files {args} {
    set path [lindex $args end]
    if {![file exists $path]} { error "no file $path" }
    lappend ::files $path
    note file [file tail $path]
}
proc get_files {path} {
    if {$path ni $::files} { error "no file $path in the project" }
    return $path
}
proc current_fileset {} { return sources_1 }
proc set_property {name value target} {
    if {$target eq ""} { error "nothing to set $name of" }
    set ::properties($target,$name) $value
    note set [file tail $target] $name $value
}
proc get_property {name target} { return [set ::properties($target,$name)] }
proc update_compile_order {args} {}
proc close_project {} {}

namespace eval ipx {
    proc package_project {args} {
        set flag [lsearch -exact $args -import_files]
        if {$flag < 0} { error "the sources are left where they are" }
        array set given [lreplace $args $flag $flag]
        if {[file exists $given(-root_dir)]} { error "$given(-root_dir) exists" }
        set ::core core
        set top $::properties(sources_1,top)
        foreach path $::files {
            if {[file tail $path] eq "$top.v"} { infer $path }
        }
        if {[array size ::kinds] == 0} { error "the top $top has no interface" }
        set ::log_root $given(-root_dir)
        note packaged $given(-vendor) $given(-library) [file tail $given(-root_dir)]
    }
    # Interfaces of the attributes, their role that of the port with TVALID.
    proc infer {path} {
        set file [open $path]
        set text [read $file]
        close $file
        foreach {whole type name signal} [regexp -all -inline \
                {X_INTERFACE_INFO = "([\w.:]+) (\w+) (\w+)"} $text] {
            if {[info exists ::env(QD_LOSE)] && $::env(QD_LOSE) eq $name} { continue }
            set ::kinds($name) $type
            set ::properties($name,bus_type_vlnv) $type
            set ::properties($name,interface_mode) slave
            if {[regexp "output wire ${name}_tvalid" $text]} {
                set ::properties($name,interface_mode) master
            }
        }
    }
    proc current_core {} { return $::core }
    proc get_bus_interfaces {args} {
        set name [lindex $args 1]
        return [expr {[info exists ::kinds($name)] ? $name : ""}]
    }
    proc get_bus_parameters {args} {
        set key [lindex $args end],[lindex $args 1]
        return [expr {[info exists ::parameters($key)] ? "parameter:$key" : ""}]
    }
    proc add_bus_parameter {name interface} {
        set ::parameters($interface,$name) 1
        return parameter:$interface,$name
    }
    foreach name {create_xgui_files update_checksums check_integrity save_core} {
        proc $name {core} "if {\$core eq {}} { error {no core} }; note $name"
    }
}

# tclsh ipx_stub.tcl PACKAGE: runs the package's script and prints what it did.
if {[catch {source [file join [lindex $argv 0] vivado package_ip.tcl]} message]} {
    puts stderr $message
    exit 1
}
foreach line $log { puts $line }
