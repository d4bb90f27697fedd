# Package the design as IP for Vivado's catalog: vivado -mode batch -source vivado/package_ip.tcl
#
# Writes ip/component.xml with copies of the Verilog, the memory files and the clock, then checks
# what was inferred: the AXI-Streams of config.tcl, all on aclk, and a reset that is active low. Needs
# Vivado 2020.2 or newer.

set qd_root [file dirname [file dirname [file normalize [info script]]]]
source [file join $qd_root vivado config.tcl]

proc qd_add_sources {} {
    global qd_root qd_module qd_sources qd_memories qd_constraints
    foreach name $qd_sources {
        add_files -norecurse [file join $qd_root $name]
    }
    # Found by their names, without a folder, wherever the IP is synthesized.
    foreach name $qd_memories {
        set path [file join $qd_root $name]
        add_files -norecurse $path
        set_property file_type {Memory Initialization Files} [get_files $path]
    }
    set path [file join $qd_root $qd_constraints]
    add_files -norecurse -fileset constrs_1 $path
    set_property USED_IN {synthesis implementation out_of_context} [get_files $path]
    set_property top $qd_module [current_fileset]
    update_compile_order -fileset sources_1
}

# A bus interface of the core, which has to be there and of its kind.
proc qd_interface {name kind mode} {
    set found [ipx::get_bus_interfaces -quiet $name -of_objects [ipx::current_core]]
    if {[llength $found] == 0} {
        error "the interface $name was not inferred"
    }
    set type [get_property bus_type_vlnv $found]
    if {![string match "*:$kind:*" $type]} {
        error "the interface $name is $type, not $kind"
    }
    set is [get_property interface_mode $found]
    if {$is ne $mode} {
        error "the interface $name is a $is, not a $mode"
    }
    return $found
}

# A parameter of an interface, set whether Vivado has inferred it or not.
proc qd_parameter {interface name value} {
    set found [ipx::get_bus_parameters -quiet $name -of_objects $interface]
    if {[llength $found] == 0} {
        set found [ipx::add_bus_parameter $name $interface]
    }
    set_property value $value $found
}

proc qd_describe {} {
    global qd_vendor qd_library qd_module qd_version qd_title qd_description
    set core [ipx::current_core]
    set_property vendor $qd_vendor $core
    set_property library $qd_library $core
    set_property name $qd_module $core
    set_property version $qd_version $core
    set_property display_name $qd_title $core
    set_property description $qd_description $core
    # The Verilog has no primitives of a family.
    set_property auto_family_support_level level_2 $core
}

proc qd_interfaces {} {
    global qd_slaves
    set clock [qd_interface aclk clock slave]
    set reset [qd_interface aresetn reset slave]
    foreach name $qd_slaves {
        qd_interface $name axis slave
    }
    qd_interface m_axis axis master
    qd_parameter $clock ASSOCIATED_BUSIF [join [list s_axis m_axis {*}[lrange $qd_slaves 1 end]] :]
    qd_parameter $clock ASSOCIATED_RESET aresetn
    qd_parameter $reset POLARITY ACTIVE_LOW
}

proc qd_main {} {
    global qd_root qd_module qd_part qd_vendor qd_library
    set out [file join $qd_root ip]
    file delete -force $out
    create_project -force package_ip [file join $qd_root vivado project] -part $qd_part
    qd_add_sources
    ipx::package_project -root_dir $out -vendor $qd_vendor -library $qd_library \
        -taxonomy /UserIP -import_files -set_current true
    qd_describe
    qd_interfaces
    ipx::create_xgui_files [ipx::current_core]
    ipx::update_checksums [ipx::current_core]
    ipx::check_integrity [ipx::current_core]
    ipx::save_core [ipx::current_core]
    close_project
    puts "qdeploy: add $out to the IP repositories of a project: $qd_module"
}

qd_main
