# Build the bitstream of the accelerator: vivado -mode batch -source vivado/build.tcl
#
#   PS  --M_AXI--> control --> axi_dma_0 (registers), qd_shell_0 (registers)
#   PS <--S_AXI--- memory <--- axi_dma_0 --m_axis/s_axis-- qd_shell_0 (the core inside)
#
# One clock from the PS drives everything. No interrupts: the driver polls. Writes
# bitstream/accelerator.bit and .hwh, which PYNQ's driver expects, accelerator.xsa for Vitis, and
# reports beside them. Fails when setup, hold or pulse width are not met. Needs Vivado 2020.2 or newer;
# arguments (-tclargs): jobs, default 4.

set qd_root [file dirname [file dirname [file normalize [info script]]]]
source [file join $qd_root vivado config.tcl]

set qd_system qd_system
set qd_jobs 4
if {[info exists argv] && [llength $argv] > 0} {
    set qd_jobs [lindex $argv 0]
}

# The newest installed IP of a name.
proc qd_ip {name} {
    set found [get_ipdefs -quiet "xilinx.com:ip:$name:*"]
    if {[llength $found] == 0} {
        error "this Vivado has no IP `$name`"
    }
    return [lindex [lsort -dictionary $found] end]
}

proc qd_cell {name ip} {
    create_bd_cell -type ip -vlnv [qd_ip $ip] $name
}

proc qd_set {cell settings} {
    set_property -dict $settings [get_bd_cells $cell]
}

# One pin to any number of others.
proc qd_net {from args} {
    foreach to $args {
        connect_bd_net [get_bd_pins $from] [get_bd_pins $to]
    }
}

proc qd_bus {from to} {
    connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}

# The newest installed version of the board, whose preset sets up memory and clocks of the PS.
proc qd_use_board {} {
    global qd_board_part qd_board_files
    if {$qd_board_part eq ""} {
        return
    }
    set found [get_board_parts -quiet "$qd_board_part:*"]
    if {[llength $found] == 0} {
        error "Vivado does not know the board $qd_board_part ($qd_board_files)"
    }
    set_property board_part [lindex [lsort -dictionary $found] end] [current_project]
    qd_use_carrier
}

# The carrier card of a module: its preset adds the UART, the SD card and the like to those of the
# PS. Linux has set them up before it loads a bitstream; a program without an operating system gets
# them from the XSA.
proc qd_use_carrier {} {
    global qd_carrier
    if {$qd_carrier eq ""} {
        return
    }
    lassign $qd_carrier connector card
    if {[catch {
        set_property board_connections [list $connector "$card:*"] [current_project]
    } message]} {
        puts "qdeploy: WARNING: no carrier card $card: $message. PYNQ does not need it; in the XSA\
            the PS lacks the card's UART and SD card"
    }
}

proc qd_add_sources {} {
    global qd_root qd_sources qd_memories
    foreach name $qd_sources {
        add_files -norecurse [file join $qd_root $name]
    }
    foreach name $qd_memories {
        set path [file join $qd_root $name]
        add_files -norecurse $path
        set_property file_type {Memory Initialization Files} [get_files $path]
    }
    update_compile_order -fileset sources_1
}

# The processing system; returns the names of its clock, reset, control and memory ports and of the
# clock pins of the latter two.
proc qd_add_ps {} {
    global qd_ps qd_clock_mhz
    qd_cell ps_0 $qd_ps
    if {$qd_ps eq "processing_system7"} {
        apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 -config {
            make_external "FIXED_IO, DDR" apply_board_preset "1" Master "Disable" Slave "Disable"
        } [get_bd_cells ps_0]
        qd_set ps_0 [list \
            CONFIG.PCW_USE_M_AXI_GP0 {1} \
            CONFIG.PCW_USE_S_AXI_HP0 {1} \
            CONFIG.PCW_S_AXI_HP0_DATA_WIDTH {64} \
            CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ $qd_clock_mhz]
        return {FCLK_CLK0 FCLK_RESET0_N M_AXI_GP0 M_AXI_GP0_ACLK S_AXI_HP0 S_AXI_HP0_ACLK}
    }
    apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e -config {
        apply_board_preset "1"
    } [get_bd_cells ps_0]
    qd_set ps_0 [list \
        CONFIG.PSU__USE__M_AXI_GP0 {1} \
        CONFIG.PSU__USE__M_AXI_GP1 {0} \
        CONFIG.PSU__USE__M_AXI_GP2 {0} \
        CONFIG.PSU__USE__S_AXI_GP2 {1} \
        CONFIG.PSU__SAXIGP2__DATA_WIDTH {128} \
        CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ $qd_clock_mhz]
    return {pl_clk0 pl_resetn0 M_AXI_HPM0_FPD maxihpm0_fpd_aclk S_AXI_HP0_FPD saxihp0_fpd_aclk}
}

proc qd_add_dma {} {
    global qd_in_bits qd_out_bits qd_ddr_bits
    # A memory side as wide as the stream at least; the interconnect adapts it to the PS.
    set read_bits [expr {max($qd_in_bits, $qd_ddr_bits)}]
    set write_bits [expr {max($qd_out_bits, $qd_ddr_bits)}]
    qd_cell axi_dma_0 axi_dma
    # The width of the S2MM stream follows from the shell it is connected to.
    qd_set axi_dma_0 [list \
        CONFIG.c_include_sg {0} \
        CONFIG.c_sg_include_stscntrl_strm {0} \
        CONFIG.c_sg_length_width {26} \
        CONFIG.c_include_mm2s {1} \
        CONFIG.c_include_s2mm {1} \
        CONFIG.c_include_mm2s_dre {0} \
        CONFIG.c_include_s2mm_dre {0} \
        CONFIG.c_m_axi_mm2s_data_width $read_bits \
        CONFIG.c_m_axis_mm2s_tdata_width $qd_in_bits \
        CONFIG.c_m_axi_s2mm_data_width $write_bits \
        CONFIG.c_mm2s_burst_size {16} \
        CONFIG.c_s2mm_burst_size {16}]
}

proc qd_connect {ps_ports} {
    lassign $ps_ports clock reset control control_clock memory memory_clock
    qd_cell reset_0 proc_sys_reset
    qd_cell control_0 smartconnect
    qd_set control_0 [list CONFIG.NUM_SI {1} CONFIG.NUM_MI {2}]
    qd_cell memory_0 smartconnect
    qd_set memory_0 [list CONFIG.NUM_SI {2} CONFIG.NUM_MI {1}]

    qd_net ps_0/$clock \
        ps_0/$control_clock ps_0/$memory_clock \
        reset_0/slowest_sync_clk control_0/aclk memory_0/aclk \
        axi_dma_0/s_axi_lite_aclk axi_dma_0/m_axi_mm2s_aclk axi_dma_0/m_axi_s2mm_aclk \
        qd_shell_0/aclk
    qd_net ps_0/$reset reset_0/ext_reset_in
    qd_net reset_0/peripheral_aresetn \
        control_0/aresetn memory_0/aresetn axi_dma_0/axi_resetn qd_shell_0/aresetn

    qd_bus ps_0/$control control_0/S00_AXI
    qd_bus control_0/M00_AXI axi_dma_0/S_AXI_LITE
    qd_bus control_0/M01_AXI qd_shell_0/s_axil
    qd_bus axi_dma_0/M_AXI_MM2S memory_0/S00_AXI
    qd_bus axi_dma_0/M_AXI_S2MM memory_0/S01_AXI
    qd_bus memory_0/M00_AXI ps_0/$memory
    qd_bus axi_dma_0/M_AXIS_MM2S qd_shell_0/s_axis
    qd_bus qd_shell_0/m_axis axi_dma_0/S_AXIS_S2MM
}

proc qd_design {} {
    global qd_system qd_dma_base qd_shell_base
    create_bd_design $qd_system
    set ps_ports [qd_add_ps]
    qd_add_dma
    create_bd_cell -type module -reference qd_shell qd_shell_0
    qd_connect $ps_ports
    # Fixed, for the driver without an operating system (bare_metal/qd_design.h); PYNQ's reads them
    # from the .hwh. 4 KiB are the least that AXI gives a slave, and all that these have.
    set registers [list axi_dma_0/S_AXI_LITE/Reg $qd_dma_base qd_shell_0/s_axil/reg0 $qd_shell_base]
    foreach {segment base} $registers {
        assign_bd_address -offset $base -range 0x1000 \
            -target_address_space [get_bd_addr_spaces ps_0/Data] [get_bd_addr_segs $segment] -force
    }
    # The DMA's view of memory.
    assign_bd_address
    validate_bd_design
    save_bd_design
    set file [get_files $qd_system.bd]
    # One synthesis for all, so that memory files are found beside the Verilog that names them.
    set_property synth_checkpoint_mode None $file
    make_wrapper -files $file -top -import
    set_property top ${qd_system}_wrapper [current_fileset]
    update_compile_order -fileset sources_1
}

proc qd_run {run args} {
    global qd_jobs
    launch_runs $run -jobs $qd_jobs {*}$args
    wait_on_run $run
    if {[get_property PROGRESS [get_runs $run]] ne "100%"} {
        error "$run failed: see [get_property DIRECTORY [get_runs $run]]/runme.log"
    }
}

# The slacks of a report_timing_summary (UG906, "Design Timing Summary"), in ns: a dictionary of WNS
# (setup), WHS (hold) and WPWS (pulse width). NA, where there is nothing to check, is an error as well:
# this design has paths and pulses of all three kinds.
proc qd_slacks {path} {
    set file [open $path]
    set lines [split [read $file] "\n"]
    close $file
    set start [lsearch -regexp $lines {^\|\s*Design Timing Summary}]
    set header [lsearch -start [expr {max($start, 0)}] -regexp $lines {^\s*WNS\(ns\)}]
    if {$start < 0 || $header < 0} {
        error "$path has no Design Timing Summary"
    }
    # Names of columns have single spaces in them, two or more between them; then dashes, then values.
    set names [split [regsub -all {\s{2,}} [string trim [lindex $lines $header]] "\t"] "\t"]
    set values [regexp -all -inline {\S+} [lindex $lines [expr {$header + 2}]]]
    foreach name {WNS WHS WPWS} {
        set value [lindex $values [lsearch -exact $names "${name}(ns)"]]
        if {![string is double -strict $value]} {
            error "$path has no $name, but `$value`: the design is not constrained"
        }
        dict set slacks $name $value
    }
    return $slacks
}

# Stop when a slack is negative.
proc qd_check_timing {path} {
    global qd_clock_mhz
    set slacks [qd_slacks $path]
    dict with slacks {
        if {$WNS < 0} {
            error "the clock of $qd_clock_mhz MHz is missed by [expr {-$WNS}] ns: export the network\
                again with a lower clock (bitstream/timing.rpt has the paths)"
        }
        if {$WHS < 0} {
            error "hold is missed by [expr {-$WHS}] ns, which no lower clock mends: build it again\
                with another implementation strategy or version of Vivado\
                (bitstream/timing.rpt has the paths)"
        }
        if {$WPWS < 0} {
            error "a pulse of the clock of $qd_clock_mhz MHz is too short for a cell by\
                [expr {-$WPWS}] ns: export the network again with a lower clock\
                (bitstream/timing.rpt has the cells)"
        }
    }
    return $slacks
}

proc qd_collect {project} {
    global qd_root qd_system
    set out [file join $qd_root bitstream]
    file mkdir $out
    open_run impl_1
    report_utilization -file [file join $out utilization.rpt]
    set timing [file join $out timing.rpt]
    report_timing_summary -file $timing
    set slacks [qd_check_timing $timing]
    set run [get_property DIRECTORY [get_runs impl_1]]
    file copy -force [file join $run ${qd_system}_wrapper.bit] [file join $out accelerator.bit]
    # Vivado moved the handoff file from *.srcs to *.gen in 2020.2.
    set handoff [glob -nocomplain \
        [file join $project *.gen sources_1 bd $qd_system hw_handoff $qd_system.hwh] \
        [file join $project *.srcs sources_1 bd $qd_system hw_handoff $qd_system.hwh]]
    if {[llength $handoff] == 0} {
        error "Vivado wrote no $qd_system.hwh below $project"
    }
    file copy -force [lindex $handoff 0] [file join $out accelerator.hwh]
    # Last: a board with PYNQ needs the first two only.
    write_hw_platform -fixed -include_bit -force -file [file join $out accelerator.xsa]
    puts "qdeploy: bitstream/accelerator.bit, .hwh and .xsa are ready; slack: setup\
        [dict get $slacks WNS] ns, hold [dict get $slacks WHS] ns, pulse width\
        [dict get $slacks WPWS] ns"
}

proc qd_main {} {
    global qd_root qd_name qd_part
    set project [file join $qd_root vivado project]
    create_project -force $qd_name $project -part $qd_part
    qd_use_board
    qd_add_sources
    qd_design
    qd_run synth_1
    qd_run impl_1 -to_step write_bitstream
    qd_collect $project
}

qd_main
