# SPDX-License-Identifier: Apache-2.0
# cmake -D build=... -D first=... -D moved=... -P: installs build into first, then moves that to moved, so that no path
# of the place where it was installed can be of use.
file(REMOVE_RECURSE ${first} ${moved})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${build} --prefix ${first} COMMAND_ERROR_IS_FATAL ANY)
file(RENAME ${first} ${moved})
