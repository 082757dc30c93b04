# SPDX-License-Identifier: BSD-3-Clause
# How every target of the project is built: warnings, sanitizers, hardening. And the two functions that declare a library and a test.

add_library(netns_helper_build INTERFACE)
target_include_directories(netns_helper_build INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(netns_helper_build INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-qual -Wconversion -Wno-sign-conversion
  -Woverloaded-virtual -Wvla -fstack-protector-strong -fPIE)
if(NETNS_HELPER_WERROR)
  target_compile_options(netns_helper_build INTERFACE -Werror)
endif()
if(NETNS_HELPER_SANITIZE)
  target_compile_options(netns_helper_build INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(netns_helper_build INTERFACE -fsanitize=address,undefined)
  target_compile_definitions(netns_helper_build INTERFACE NETNS_HELPER_SANITIZED=1)
else()
  target_compile_options(netns_helper_build INTERFACE $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
  if(NETNS_HELPER_STATIC_RUNTIME)
    target_link_options(netns_helper_build INTERFACE -static-libstdc++ -static-libgcc)
  endif()
endif()
target_link_options(netns_helper_build INTERFACE -pie -Wl,-z,relro -Wl,-z,noexecstack -Wl,--as-needed -Wl,--gc-sections)
target_compile_options(netns_helper_build INTERFACE -ffunction-sections -fdata-sections)
target_compile_definitions(netns_helper_build INTERFACE NETNS_HELPER_VERSION="${PROJECT_VERSION}" _GNU_SOURCE)

# netns_library(NAME SOURCES a.cc b.cc USES lib1 lib2): the static library of one folder.
function(netns_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;USES" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC netns_helper_build ${ARG_USES})
endfunction()

# netns_unit_test(NAME SOURCES a_test.cc USES lib): one Catch2 program; ctest runs it whole, under the name unit.NAME.
function(netns_unit_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;USES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE netns_helper_build ${ARG_USES} catch_main)
  # Catch2's macros take most of a build's time to optimise, for nothing; what is tested is optimised as it is released.
  target_compile_options(${name} PRIVATE -U_FORTIFY_SOURCE -O0)
  add_test(NAME unit.${name} COMMAND ${name})
  set_tests_properties(unit.${name} PROPERTIES TIMEOUT 120 SKIP_RETURN_CODE 77 LABELS unit)
endfunction()

# prefer_archives(PREFIX lib...): the target netns_PREFIX links these libraries' archives if all are installed, else what pkg-config says.
function(prefer_archives prefix)
  string(TOLOWER netns_${prefix} target)
  add_library(${target} INTERFACE)
  set(archives)
  foreach(name ${ARGN})
    find_library(${prefix}_${name}_ARCHIVE lib${name}.a)
    list(APPEND archives ${${prefix}_${name}_ARCHIVE})
  endforeach()
  if(NETNS_HELPER_STATIC_NETLINK AND NOT NETNS_HELPER_SANITIZE AND NOT "${archives}" MATCHES NOTFOUND)
    target_include_directories(${target} SYSTEM INTERFACE ${${prefix}_INCLUDE_DIRS})
    target_link_libraries(${target} INTERFACE ${archives} m)
  else()
    target_link_libraries(${target} INTERFACE PkgConfig::${prefix})
  endif()
endfunction()
