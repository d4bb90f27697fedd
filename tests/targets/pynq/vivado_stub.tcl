# Enough of Vivado's Tcl to run build.tcl: remembers cells, pins, connections and files, and refuses
# what Vivado would refuse: an unknown cell or pin, a pin driven twice, a bus of the wrong kind.
#
# Pins:  clock, reset, plain pins:  name direction (in/out)
# Buses: name, kind (mm: AXI, st: AXI-Stream), role (master/slave)
array set pins {
    processing_system7 {FCLK_CLK0 out FCLK_RESET0_N out M_AXI_GP0_ACLK in S_AXI_HP0_ACLK in}
    zynq_ultra_ps_e    {pl_clk0 out pl_resetn0 out maxihpm0_fpd_aclk in saxihp0_fpd_aclk in}
    axi_dma            {s_axi_lite_aclk in m_axi_mm2s_aclk in m_axi_s2mm_aclk in axi_resetn in}
    smartconnect       {aclk in aresetn in}
    proc_sys_reset     {slowest_sync_clk in ext_reset_in in peripheral_aresetn out}
    qd_shell           {aclk in aresetn in}
}
array set buses {
    processing_system7 {M_AXI_GP0 mm master S_AXI_HP0 mm slave}
    zynq_ultra_ps_e    {M_AXI_HPM0_FPD mm master S_AXI_HP0_FPD mm slave}
    axi_dma            {S_AXI_LITE mm slave M_AXI_MM2S mm master M_AXI_S2MM mm master
                        M_AXIS_MM2S st master S_AXIS_S2MM st slave}
    smartconnect       {}
    proc_sys_reset     {}
    qd_shell           {s_axil mm slave s_axis st slave m_axis st master}
}
array set cells {}
array set settings {}
array set driven {}
array set bus_of {}
set files {}
set log {}

proc note {args} { lappend ::log $args }

proc get_ipdefs {args} {
    set name [lindex [split [lindex $args end] :] 2]
    if {![info exists ::pins($name)] || $name eq "qd_shell"} { return {} }
    return [list xilinx.com:ip:$name:7.1 xilinx.com:ip:$name:7.10 xilinx.com:ip:$name:7.9]
}
proc get_board_parts {args} {
    if {[info exists ::env(QD_NO_BOARD)]} { return {} }
    set stem [string map {:* ""} [lindex $args end]]
    return [list $stem:1.0 $stem:1.2]
}
proc create_bd_cell {args} {
    array set given [lrange $args 0 end-1]
    set cell [lindex $args end]
    if {[info exists ::cells($cell)]} { error "cell $cell exists" }
    if {$given(-type) eq "module"} {
        if {"rtl/$given(-reference).v" ni $::files} { error "no source of $given(-reference)" }
        set ::cells($cell) $given(-reference)
    } else {
        set ::cells($cell) [lindex [split $given(-vlnv) :] 2]
    }
    note cell $cell $::cells($cell)
}
proc get_bd_cells {cell} {
    if {![info exists ::cells($cell)]} { error "no cell $cell" }
    return $cell
}
proc get_bd_pins {path} {
    lassign [split $path /] cell pin
    get_bd_cells $cell
    if {![dict exists $::pins($::cells($cell)) $pin]} { error "no pin $path" }
    return $path
}
proc bus_info {path} {
    lassign [split $path /] cell bus
    get_bd_cells $cell
    if {$::cells($cell) eq "smartconnect"} {
        # As many ports as it was told to have.
        foreach {pattern key role} {S%02d_AXI CONFIG.NUM_SI slave M%02d_AXI CONFIG.NUM_MI master} {
            for {set k 0} {$k < $::settings($cell,$key)} {incr k} {
                if {[format $pattern $k] eq $bus} { return [list mm $role] }
            }
        }
    }
    foreach {name kind role} $::buses($::cells($cell)) {
        if {$name eq $bus} { return [list $kind $role] }
    }
    error "no bus $path"
}
proc get_bd_intf_pins {path} { bus_info $path; return $path }
proc connect_bd_net {from to} {
    lassign [split $from /] cell pin
    if {[dict get $::pins($::cells($cell)) $pin] ne "out"} { error "$from drives nothing" }
    lassign [split $to /] cell pin
    if {[dict get $::pins($::cells($cell)) $pin] ne "in"} { error "$to cannot be driven" }
    if {[info exists ::driven($to)]} { error "$to is driven by $::driven($to) already" }
    set ::driven($to) $from
    note net $from $to
}
proc connect_bd_intf_net {from to} {
    lassign [bus_info $from] kind role
    lassign [bus_info $to] other_kind other_role
    if {$kind ne $other_kind} { error "$from and $to are of different kinds" }
    if {$role ne "master" || $other_role ne "slave"} { error "$from to $to is backwards" }
    foreach end [list $from $to] {
        if {[info exists ::bus_of($end)]} { error "$end is connected already" }
        set ::bus_of($end) 1
    }
    note bus $from $to
}
proc set_property {args} {
    if {[lindex $args 0] eq "-dict"} {
        lassign $args - pairs target
        foreach {key value} $pairs {
            set ::settings($target,$key) $value
            note set $target $key $value
        }
    } else {
        lassign $args key value target
        if {$key eq "board_connections" && [info exists ::env(QD_NO_CARRIER)]} {
            error "no such card"
        }
        note set $target $key $value
    }
}
proc apply_bd_automation {args} {
    array set given [lrange $args 0 end-1]
    if {[llength $given(-config)] % 2} { error "-config is no list of pairs" }
    note automation [lindex $args end] $given(-rule)
}
proc add_files {args} {
    set path [lindex $args end]
    if {![file exists $path]} { error "no file $path" }
    lappend ::files rtl/[file tail $path]
    note file rtl/[file tail $path]
}
proc get_files {name} { return $name }
proc validate_bd_design {} {
    foreach cell [array names ::cells] {
        foreach {pin direction} $::pins($::cells($cell)) {
            if {$direction eq "in" && ![info exists ::driven($cell/$pin)]} {
                error "$cell/$pin is not connected"
            }
        }
        foreach {bus kind role} $::buses($::cells($cell)) {
            if {![info exists ::bus_of($cell/$bus)]} { error "$cell/$bus is not connected" }
        }
    }
    note validated
}
proc make_wrapper {args} { note wrapper }
proc launch_runs {run args} { note run $run $args }
proc get_property {key target} {
    switch $key {
        PROGRESS { return [expr {[info exists ::env(QD_FAIL_RUN)] && $target eq $::env(QD_FAIL_RUN) ? "41%" : "100%"}] }
        DIRECTORY {
            set folder [file join $::work runs $target]
            file mkdir $folder
            close [open [file join $folder qd_system_wrapper.bit] w]
            return $folder
        }
    }
    error "unexpected property $key"
}
proc create_project {args} {
    array set given [list -part [lindex $args end]]
    set folder [lindex $args 2]
    set handoff [file join $folder x.gen sources_1 bd qd_system hw_handoff]
    file mkdir $handoff
    close [open [file join $handoff qd_system.hwh] w]
    note project {*}$args
}
set slaves {axi_dma_0/S_AXI_LITE/Reg qd_shell_0/s_axil/reg0}
array set at {}
proc get_bd_addr_spaces {name} {
    if {$name ne "ps_0/Data"} { error "no address space $name" }
    return $name
}
proc get_bd_addr_segs {name} {
    if {$name ni $::slaves} { error "no segment $name" }
    return $name
}
proc assign_bd_address {args} {
    if {[llength $args] == 0} {
        if {[array size ::at] != [llength $::slaves]} { error "registers have no address yet" }
        note assigned the rest
        return
    }
    set segment [lindex $args end-1]
    if {[lindex $args end] ne "-force"} { error "assign_bd_address without -force" }
    array set given [lrange $args 0 end-2]
    # What the PS sends to its master port: UG585 for GP0, UG1085 for HPM0_FPD.
    set zynq [expr {$::cells(ps_0) eq "processing_system7"}]
    lassign [expr {$zynq ? {0x40000000 0x7FFFFFFF} : {0xA0000000 0xAFFFFFFF}}] first last
    set base $given(-offset)
    set end [expr {$base + $given(-range) - 1}]
    if {$base < $first || $end > $last} { error "$base is not the master port's" }
    if {$base % $given(-range)} { error "$base is no multiple of $given(-range)" }
    foreach other [array names ::at] {
        lassign $::at($other) low high
        if {$base <= $high && $end >= $low} { error "$segment overlaps $other" }
    }
    set ::at($segment) [list $base $end]
    note address $segment $base $given(-range) $given(-target_address_space)
}
# As UG906 shows the report, of which only the summary is read.
proc report_timing_summary {args} {
    array set given $args
    set file [open $given(-file) w]
    puts $file [string map [list \
        @WNS [slack QD_WNS 0.731] @WHS [slack QD_WHS 0.012] @WPWS [slack QD_WPWS 3.750]] \
        [expr {[info exists ::env(QD_REPORT)] ? $::env(QD_REPORT) : $::report}]]
    close $file
    note report_timing_summary
}
proc slack {name usual} {
    return [format %11s [expr {[info exists ::env($name)] ? $::env($name) : $usual}]]
}
set report {Timing Summary Report

------------------------------------------------------------------------------------------------
| Timer Settings
| --------------
------------------------------------------------------------------------------------------------

  Enable Multi Corner Analysis               :  Yes

------------------------------------------------------------------------------------------------
| Design Timing Summary
| ---------------------
------------------------------------------------------------------------------------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)      THS(ns)  THS Failing Endpoints  THS Total Endpoints     WPWS(ns)     TPWS(ns)  TPWS Failing Endpoints  TPWS Total Endpoints  
    -------      -------  ---------------------  -------------------      -------      -------  ---------------------  -------------------     --------     --------  ----------------------  --------------------  
@WNS        0.000                      0                24519  @WHS        0.000                      0                24519 @WPWS        0.000                       0                  9114  


------------------------------------------------------------------------------------------------
| Intra Clock Table
| -----------------
------------------------------------------------------------------------------------------------

Clock             WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)
-----             -------      -------  ---------------------  -------------------      -------
clk_fpga_0         -9.000     -999.000                      7                24519       -9.000
}
proc write_hw_platform {args} {
    if {[lrange $args 0 3] ne {-fixed -include_bit -force -file}} { error "what platform?" }
    if {"open_run impl_1" ni [lmap line $::log { join $line }]} { error "no design is open" }
    close [open [lindex $args 4] w]
    note xsa
}
proc get_runs {name} { return $name }
proc current_project {} { return project }
proc current_fileset {} { return fileset }
foreach name {update_compile_order create_bd_design save_bd_design wait_on_run report_utilization} {
    proc $name {args} [list note $name]
}
proc open_run {run} { note open_run $run }

# tclsh vivado_stub.tcl PACKAGE WORK: runs the package's build.tcl and prints what it did.
lassign $argv package work
set argv {}
if {[catch {source [file join $package vivado build.tcl]} message]} {
    puts stderr $message
    exit 1
}
foreach line $log { puts $line }
